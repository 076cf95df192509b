"""What the page does for a visitor, without the page."""

import pytest
from PIL import Image

from apet import embedded
from apet.app.page.models import Models
from apet.app.page.visit import (
    NOTHING,
    Visit,
    again,
    answer_visit,
    comparable,
    draw_visit,
    methods_of,
    scene_visit,
    upload_visit,
)
from apet.core.errors import ApETError
from apet.methods import METHODS


@pytest.fixture(scope="module")
def models():
    return Models((str(embedded.PATH),))


@pytest.fixture(scope="module")
def visit(models):
    return scene_visit(Visit(), models)


def test_what_can_be_compared_decides_by_tokens_alone():
    assert "random" in comparable()
    assert "apet" not in comparable()
    assert set(comparable()) < set(METHODS)


def test_scenes_follow_each_other_with_their_questions(visit, models):
    other = scene_visit(visit, models)
    assert (visit.scenes, other.scenes) == (1, 2)
    assert visit.pictures[0].tobytes() != other.pictures[0].tobytes()
    assert visit.questions
    assert visit.questions != other.questions
    assert visit.most == 576


def test_pictures_follow_the_methods(visit):
    one, ranks = draw_visit(visit, methods_of(visit, 64, None, NOTHING))
    both, same = draw_visit(visit, methods_of(visit, 64, None, "random"))
    assert both.height < 1.5 * one.height, "what the other method has no part in is left out"
    assert one.size != both.size
    assert ranks.tobytes() == same.tobytes()
    assert draw_visit(visit, methods_of(visit, 65, None, NOTHING))[1].tobytes() != ranks.tobytes()


def test_a_bound_on_the_error_and_as_many_tokens_for_the_other(visit):
    methods = methods_of(visit, 64, 0.4, "random")
    (ours,), (theirs,) = (visit.look.decide(method) for method in methods.values())
    assert ours.tokens_stage1 == theirs.tokens_stage1
    (stricter,) = visit.look.decide(methods_of(visit, 64, 0.001, NOTHING)["apet"])
    assert ours.tokens_stage1 < stricter.tokens_stage1 < 576
    assert methods_of(visit, 9_999, None, NOTHING)["apet"].keep == 576


def test_answers_are_told_step_by_step(visit, models):
    steps = []
    rows = answer_visit(
        visit,
        visit.questions[0],
        methods_of(visit, 64, None, "random"),
        models,
        8,
        lambda share, what: steps.append((share, what)),
    )
    assert [row[0] for row in rows] == ["uncompressed", "apet", "random"]
    assert [row[2] for row in rows] == ["576", "64 of 576", "64 of 576"]
    assert [what for _, what in steps][-3:] == ["uncompressed", "apet", "random"]
    assert sorted(steps) == steps


def test_a_model_that_cannot_be_had_costs_none_that_can(models, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    held = []
    for name in models.offered:
        with models.running(name) as one:
            held.append(one)
    with pytest.raises(ApETError, match="no/such"), models.running("no/such"):
        pass
    for name, before in zip(models.offered, held, strict=True):
        with models.running(name) as one:
            assert one is before


def test_another_model_looks_at_the_same_picture(visit, models):
    other = again(visit, str(embedded.PATH), models)
    assert other.pictures == visit.pictures
    assert other.model != visit.model
    assert other.most == 576


def test_nothing_to_show_yet(models):
    for work in (
        lambda: draw_visit(Visit(), methods_of(Visit(), 1, None, NOTHING)),
        lambda: answer_visit(Visit(), "what?", {}, models, 8, lambda *_: None),
    ):
        with pytest.raises(ApETError, match="no picture"):
            work()
    assert again(Visit(), str(embedded.PATH), models).look is None


def test_a_broken_upload_does_not_tell_its_folder(models, tmp_path):
    path = tmp_path / "broken.png"
    path.write_text("no picture")
    with pytest.raises(ApETError, match=r"broken\.png") as caught:
        upload_visit(Visit(), [str(path)], models)
    assert str(tmp_path) not in str(caught.value)
    Image.new("RGB", (40, 30)).save(path)
    assert upload_visit(Visit(), [str(path)], models).seen[0].size == (336, 336)


def test_several_uploads_are_the_frames_of_a_video(models, tmp_path):
    for number in (10, 9, 1):
        Image.new("RGB", (336, 336), (20 * number, 0, 0)).save(tmp_path / f"{number}.png")
    paths = [str(tmp_path / f"{number}.png") for number in (10, 9, 1)]
    visit = upload_visit(Visit(), paths, models)
    assert [picture.getpixel((0, 0))[0] for picture in visit.pictures] == [20, 180, 200], "in order of names"
    assert visit.most == 576
    methods = methods_of(visit, 64, None, "random")
    both, _ = draw_visit(visit, methods)
    alone, _ = draw_visit(visit, {"apet": methods["apet"]})
    assert both.width > 2 * 690 > 700 > alone.width, "a sheet of frames for each method"
    rows = answer_visit(visit, "what is this?", methods, models, 2, lambda *_: None)
    assert [row[2] for row in rows] == ["1,728", "192 of 1,728", "192 of 1,728"]


@pytest.mark.parametrize(
    "name", ["/etc", "../models", "~/model", "src/apet", "gpt2", "", "a/b/c", "./a", "a b/c"]
)
def test_visitors_cannot_name_folders(models, name):
    with pytest.raises(ApETError, match="a model id such as"):
        models.check(name)


def test_ids_and_what_was_offered_can_be_named(models):
    assert models.check(" llava-hf/llava-1.5-7b-hf ") == "llava-hf/llava-1.5-7b-hf"
    assert models.check(str(embedded.PATH)) == str(embedded.PATH)
