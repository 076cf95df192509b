"""The real eye's training: every word is known, it goes on where it stopped, and its statistics fold."""

import numpy as np
import pytest
import torch
from training.eye.architecture import WIDTH, eye_tokenizer
from training.eye.batches import Batches
from training.eye.build import trained_part
from training.eye.pictures import KINDS
from training.eye.train import Eye, Run


@pytest.fixture(scope="module")
def tokenizer():
    return eye_tokenizer()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    for kind in ("scenes", "collages"):
        held = rng.normal(3, 2, (4, 576, WIDTH)).astype(np.float16)
        np.save(folder / f"{kind}-000000.npy", held)
    return folder


@pytest.mark.parametrize("kind", ["scenes", "collages"])
def test_every_word_of_a_question_is_known(kind, tokenizer):
    for index in range(60):
        for question in KINDS[kind].ask(np.random.default_rng(index), index, 24):
            for text in (question.text, question.answer):
                assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text


def test_a_stopped_run_goes_on_with_the_same_state(tmp_path, cache, tokenizer):
    torch.manual_seed(0)
    batches = Batches(cache, tokenizer, 1, 4)
    eye = Eye(tokenizer)
    eye.mean, eye.deviation = batches.statistics()
    run = Run(eye, tmp_path / "state.pt")
    rng = np.random.default_rng(0)
    scores = run.step(batches.draw(rng), 1.0)
    assert scores["loss"].isfinite()
    run.save()
    again = Run(Eye(tokenizer), tmp_path / "state.pt")
    again.load()
    assert again.used == run.used
    batch = batches.draw(rng)
    for one in (run, again):
        one.step(batch, 1.0)
    for name, value in run.mean.items():
        assert torch.equal(again.mean[name], value), name


def test_the_built_projector_takes_features_as_they_are(cache, tokenizer):
    eye = Eye(tokenizer)
    eye.mean, eye.deviation = Batches(cache, tokenizer, 1, 4).statistics()
    features = torch.from_numpy(np.load(cache / "scenes-000000.npy")[0].astype(np.float32))
    projector = eye.model.model.multi_modal_projector
    with torch.inference_mode():
        wanted = projector(eye.standardised(features))
        projector.load_state_dict(
            {
                name.removeprefix("model.multi_modal_projector."): value.float()
                for name, value in trained_part(eye.state_dict()).items()
                if "projector" in name
            }
        )
        assert torch.allclose(projector(features), wanted, atol=0.02 * float(wanted.std()) + 1e-3)
