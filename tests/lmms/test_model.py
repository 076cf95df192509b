"""The model ``apet`` of lmms-eval: every default method, and the prompts of published evaluations."""

import pytest
from lmms_eval.api.instance import Instance
from lmms_eval.utils import simple_parse_args_string
from PIL import Image

from apet.app.lmms.benchmarks import Measure
from apet.app.lmms.model import ApETModel
from apet.app.lmms.runs import LmmsRun
from apet.core import ApETError
from apet.evaluation.configurations import DEFAULT_METHODS, plan
from apet.evaluation.plain import LONGEST_ANSWER
from apet.evaluation.tasks import draw_cases

CASE = draw_cases(["shape"], 1)[0]
SETTINGS = {"max_new_tokens": LONGEST_ANSWER, "until": ["\n\n"], "do_sample": False, "temperature": 0}
CONFIGURATIONS, _ = plan(DEFAULT_METHODS, [64], ["off", "paper"], 1, 8)


def _arguments(configuration, folder):
    run = LmmsRun(None, configuration, (Measure("gqa", ("exact_match",)),), None, folder)
    return simple_parse_args_string(run.arguments[run.arguments.index("--model_args") + 1])


def _ask(model):
    def messages(doc):
        content = [{"type": "image", "url": CASE.pictures()[0]}, {"type": "text", "text": CASE.turns[0]}]
        return [{"role": "user", "content": content}]

    model.task_dict = {"gqa": {"testdev": [None]}}
    given = (CASE.turns[0], messages, SETTINGS, 0, "gqa", "testdev")
    request = Instance(
        request_type="generate_until",
        arguments=given,
        idx=0,
        metadata={"task": "gqa", "doc_id": 0, "repeats": 1},
    )
    return model.generate_until([request])[0]


@pytest.mark.parametrize("one", CONFIGURATIONS, ids=lambda one: f"{one.method} {one.stage2}")
def test_every_default_configuration_answers(one, tmp_path):
    """What ``apet eval --tasks gqa`` asks for without more words, the model class takes."""
    model = ApETModel(**_arguments(one, tmp_path))
    assert model.applied_method == one.built
    answer = _ask(model)
    assert one.built is not None or answer == CASE.answers[0]
    assert len((tmp_path / model.answers).read_text().splitlines()) == 1
    model._answer = None  # it is not asked again
    assert _ask(model) == answer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0}, "keep=0"),
        ({}, "without keep"),
        ({"method": "chess"}, "method='chess'"),
        ({"method": "full", "conversation": "llama_2"}, "conversation='llama_2'; expected one of vicuna_v1"),
        ({"method": "full", "min_pixels": 9}, "expected a processor that scales"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ApETError, match=message):
        ApETModel(**arguments)


def test_pictures_and_conversation_of_llava():
    model = ApETModel(method="full", pad=True, conversation="vicuna_v1")
    seen = {}

    def encode(conversations):
        write = model.subject.processor.apply_chat_template
        seen["text"] = write(conversations[0], add_generation_prompt=True)
        seen["size"] = conversations[0][0]["content"][0]["image"].size
        return type(model.subject).encode(model.subject, conversations)

    object.__setattr__(model.subject, "encode", encode)
    _ask(model)
    assert seen["text"] == (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: <image>\n"
        + CASE.turns[0]
        + " ASSISTANT:"
    )
    assert seen["size"][0] == seen["size"][1]
    wide = model.prompts.pictures(
        [{"role": "user", "content": [{"type": "image", "image": Image.new("RGB", (6, 2))}]}],
        model.subject.processor,
    )[0]["content"][0]["image"]
    mean = model.subject.processor.image_processor.image_mean
    assert wide.size == (6, 6)
    assert wide.getpixel((0, 1)) == wide.getpixel((5, 4)) == tuple(int(255 * share) for share in mean)
    assert wide.getpixel((0, 2)) == wide.getpixel((5, 3)) == (0, 0, 0)
