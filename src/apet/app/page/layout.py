"""The page: its parts, and what happens when they are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from typing import Any

import gradio as gr

from apet.app.page.models import Models
from apet.app.page.style import TypedSlider
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
from apet.methods import Method

MOST_MEGABYTES = 25
"""Largest file that can be uploaded."""

_HEAD = ("method", "answer", "visual tokens", "first token", "in all")
_START, _LARGEST = 64, 576
_PROGRESS = gr.Progress()
"""Marks the argument that Gradio fills with the progress of one call."""
_QUIET: dict[str, Any] = {"api_visibility": "private"}
_Chosen = Sequence[Any]
"""Values of the two budget sliders, of the switch between them, and of the method to compare with."""
_INTRODUCTION = """# apet: what the model still sees

ApET keeps the visual tokens that a few *basis* tokens explain worst, and merges each of the others into
the kept one most like it. Move the slider to see which stay; then ask with all tokens and with these.
"""
_LIMIT = f"A file has {MOST_MEGABYTES} MB at most; several pictures are the frames of a video."


def told(work: Callable[..., Any]) -> Callable[..., Any]:
    """A user's mistake becomes a message on the page, which stays as it was."""

    @wraps(work)
    def safe(*args: Any, **kwargs: Any) -> Any:
        try:
            return work(*args, **kwargs)
        except ApETError as error:
            # The page takes messages for HTML.
            gr.Warning(escape(f"{error.got}. Expected: {error.expected}."), duration=15)
            return gr.skip()

    return safe


def _methods(visit: Visit, chosen: _Chosen) -> dict[str, Method]:
    keep, bounded, bound, other = chosen
    return methods_of(visit, int(keep), float(bound) if bounded else None, other)


def build_page(models: Models, *, longest: int = 48) -> Any:
    """Builds the page around the models that visitors share; answers are that long in tokens."""
    page: Any = gr.Blocks(title="apet", analytics_enabled=False, delete_cache=(600, 3600))
    with page:
        visit = gr.State(Visit(model=models.offered[0]), time_to_live=3600)
        gr.Markdown(_INTRODUCTION)
        with gr.Row(elem_id="page"):
            with gr.Column(scale=1, min_width=300):
                with gr.Row():
                    upload = gr.UploadButton(
                        "Upload a picture or a video",
                        file_count="multiple",
                        file_types=["image", "video"],
                        elem_id="upload",
                        size="md",
                    )
                    scene = gr.Button("Draw a scene", elem_id="scene", size="md")
                gr.Markdown(_LIMIT, elem_id="limit")
                hint = gr.Markdown(visible=False, elem_id="hint")
                budget = TypedSlider(
                    1,
                    _LARGEST,
                    _START,
                    step=1,
                    label="Visual tokens to keep",
                    info="of each picture, tile or frame",
                    elem_id="budget",
                    buttons=[],
                )
                bounded = gr.Checkbox(False, label="Bound the error instead", elem_id="bounded")
                bound = TypedSlider(
                    0.01,
                    0.9,
                    0.05,
                    step=0.01,
                    label="Error: share of the squared norms that may be lost",
                    elem_id="bound",
                    visible=False,
                    buttons=[],
                )
                other = gr.Dropdown(
                    [NOTHING, *comparable()],
                    value=NOTHING,
                    label="Compare with",
                    elem_id="other",
                )
                question = gr.Textbox(label="Question", elem_id="question", max_lines=3)
                samples = gr.Dataset(
                    components=["textbox"], samples=[], label="About this scene", elem_id="samples"
                )
                submit = gr.Button("Ask", variant="primary", elem_id="ask")
                with gr.Accordion("Model", open=len(models.offered) > 1):
                    model = gr.Dropdown(
                        list(models.offered),
                        value=models.offered[0],
                        allow_custom_value=True,
                        label="Id on the Hub",
                        info="Type any id of a supported model; loading may take minutes.",
                        elem_id="model",
                    )
            with gr.Column(scale=3, min_width=560, elem_id="seen"):
                overlay = gr.Image(
                    show_label=False,
                    alt_text="What is kept, the errors, and what merged into what",
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="overlay",
                )
                answers = gr.Dataframe(
                    headers=list(_HEAD),
                    datatype="str",
                    interactive=False,
                    wrap=True,
                    label="Answers, one run each after a warm-up",
                    elem_id="answers",
                    buttons=[],
                )
                ranks = gr.Image(
                    show_label=False,
                    alt_text="ApET's errors by rank",
                    format="png",
                    interactive=False,
                    buttons=[],
                    elem_id="ranks",
                    height=280,
                )
        shown = [visit, budget, overlay, ranks, question, samples, answers, hint]
        choice: list[Any] = [budget, bounded, bound, other]

        def look(new: Visit, chosen: _Chosen) -> tuple[Any, ...]:
            pictures = draw_visit(new, _methods(new, chosen))
            slider = TypedSlider(maximum=new.most, value=min(int(chosen[0]), new.most))
            asked = new.questions[0] if new.questions else "What is this?"
            listed = gr.Dataset(samples=[[one] for one in new.questions], visible=bool(new.questions))
            warned = gr.Markdown(new.hint, visible=new.hint is not None)
            return new, slider, *pictures, asked, listed, [], warned

        @told
        def draw_scene(old: Visit, *chosen: Any) -> tuple[Any, ...]:
            return look(scene_visit(old, models), chosen)

        @told
        def open_upload(old: Visit, paths: list[str], *chosen: Any) -> tuple[Any, ...]:
            return look(upload_visit(old, paths, models), chosen)

        @told
        def change_model(old: Visit, name: str, *chosen: Any) -> tuple[Any, ...]:
            return look(again(old, name, models), chosen)

        @told
        def redraw(old: Visit, *chosen: Any) -> tuple[Any, ...]:
            whole = int(chosen[0])  # of a typed fraction
            return whole if whole != chosen[0] else gr.skip(), *draw_visit(old, _methods(old, chosen))

        @told
        def answer(
            old: Visit, words: str, progress: gr.Progress = _PROGRESS, *chosen: Any
        ) -> list[list[str]]:
            def tell(share: float, what: str) -> None:
                progress(share, desc=what)

            rows = answer_visit(old, words, _methods(old, chosen), models, longest, tell)
            return [list(row) for row in rows]

        gr.on([page.load, scene.click], draw_scene, [visit, *choice], shown, **_QUIET)
        upload.upload(open_upload, [visit, upload, *choice], shown, **_QUIET)
        changed = model.input(change_model, [visit, model, *choice], shown, **_QUIET)
        changed.then(lambda now: now.model, visit, model, **_QUIET)  # where another could not be had
        bounded.input(
            lambda on: (TypedSlider(visible=not on), TypedSlider(visible=on)),
            bounded,
            [budget, bound],
            **_QUIET,
        )
        gr.on(
            [budget.input, bounded.input, bound.input, other.input],
            redraw,
            [visit, *choice],
            [budget, overlay, ranks],
            trigger_mode="always_last",
            show_progress="hidden",
            **_QUIET,
        )
        samples.click(lambda sample: sample[0], samples, question, **_QUIET)
        gr.on([submit.click, question.submit], answer, [visit, question, *choice], answers, **_QUIET)
    return page
