"""``apet models``: what can be compressed, as a table for people, as JSON, or as the documentation's page."""

from __future__ import annotations

import json

import transformers
import typer

from apet.app.console import output, print_table
from apet.hf.families import FAMILIES, UNSUPPORTED, Family, supported_models

_HEAD = """\
# Models

apet compresses {count} model types of Hugging Face transformers ({videos} of them take video): all types of
transformers' image-text-to-text mapping but the {rest} below, which stand there with the reason why not. This
page is what `apet models --markdown` prints.

Every row is tested offline on a tiny random model of its type: one image, several in a row, rows of
different length, rows without an image, and video where the family takes it. Logits equal those of the same
model on the full sequence with the dropped tokens masked (or, where layers have a state that no mask reaches,
those of the kept tokens alone); a batch equals its rows, a static cache a dynamic one, and `apet.remove`
leaves nothing. Both stages together are tested with the tokens' own positions and with contiguous ones, which
count on every axis alike as those of text do; with a budget per part and, where something has several, per
image or video; and with eager attention as with sdpa where transformers has both. FlashAttention is tested
by emulating its masks and its packing test on LLaVA-1.5; flex attention gives what sdpa gives in every type
for which transformers declares it, but is refused where the base model builds the masks (Gemma, PaliGemma).
No checkpoint of billions of parameters has been run by the tests.

"Attention" is what transformers {version} itself declares for the type, beside eager; apet needs none
in particular.

Stage 2 is a second compression before a middle decoder layer. "Scored at" is where stage 1 looks by
default, before the projector as in the paper or behind it. "Parts" have a budget each (`unit="part"`);
`unit="whole"` gives one budget to all parts of an image or a video.

"""

_TOUCHES = """\
## A new family

It touches these files:

1. `src/apet/hf/families/table.py`: a row
2. `inputs.py` beside it: what the family takes, where no other takes the same; `own_layouts.py`: a function,
   if it lays out tiles, frames or newlines in a way of its own
3. `tests/hf/families`: a tiny model
4. this page: `apet models --markdown > docs/models.md`
"""


def _as_json() -> str:
    """Both lists as one JSON object."""
    supported = [
        {
            "model_type": family.model_type,
            "family": family.title,
            "classes": list(family.classes),
            "inputs": list(family.inputs),
            "stages": _stages(family),
            "stage2": family.one_stage is None,
            "scored_at": _place(family),
            "parts": family.parts,
            "processor_needs": list(family.needs),
            "checkpoints": list(family.checkpoints),
        }
        for family in supported_models()
    ]
    return json.dumps({"supported": supported, "unsupported": UNSUPPORTED}, indent=2)


def _as_markdown() -> str:
    """The documentation's page."""
    videos = sum("video" in family.inputs for family in supported_models())
    lines = [
        "| family | model type | inputs | parts | stages | scored at | attention | processor also needs "
        "| for example |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for family in supported_models():
        cells = (
            family.title,
            f"`{family.model_type}`",
            ", ".join(family.inputs),
            family.parts,
            _stages(family),
            _place(family),
            ", ".join(_attention(family)),
            ", ".join(f"`{name}`" for name in family.needs),
            ", ".join(f"`{name}`" for name in family.checkpoints),
        )
        lines.append("| " + " | ".join(cells) + " |")
    notes = [
        f'- {family.title}: no `unit="whole"` of {modality.name}s, {modality.no_whole}'
        for family in supported_models()
        for modality in family.modalities
        if modality.no_whole is not None
    ]
    notes += [f"- {family.title}: {family.note}" for family in supported_models() if family.note is not None]
    notes += [
        f"- {family.title} has no stage 2: {family.one_stage}"
        for family in supported_models()
        if family.one_stage is not None
    ]
    reasons = ["| model type | why not |", "| --- | --- |"]
    reasons += [f"| `{name}` | {UNSUPPORTED[name]} |" for name in sorted(UNSUPPORTED)]
    minor = ".".join(transformers.__version__.split(".")[:2])
    head = _HEAD.format(count=len(FAMILIES), videos=videos, rest=len(UNSUPPORTED), version=minor)
    parts = (
        head.rstrip(),
        "\n".join(lines),
        "## Known limits of single families",
        "\n".join(sorted(notes)),
        "## Types that cannot be compressed",
        "\n".join(reasons),
        _TOUCHES.rstrip(),
    )
    return "\n\n".join(parts) + "\n"


def write(*, unsupported: bool, json_wanted: bool, markdown: bool) -> None:
    """Answers ``apet models`` with its options."""
    if json_wanted:
        typer.echo(_as_json())
    elif markdown:
        typer.echo(_as_markdown(), nl=False)
    elif unsupported:
        print_table(("model type", "why not"), sorted(UNSUPPORTED.items()))
    else:
        rows = [
            (
                family.model_type,
                family.title,
                ", ".join(family.inputs),
                _stages(family),
                (family.checkpoints or ("",))[0],
            )
            for family in supported_models()
        ]
        print_table(("model type", "family", "inputs", "stages", "for example"), rows)
        output().print(f"{len(FAMILIES)} types; apet models --unsupported lists the others, with reasons")


def _stages(family: Family) -> str:
    return "1" if family.one_stage is not None else "1, 2"


def _place(family: Family) -> str:
    return "projector's input" if family.projector is not None else "projector's output"


def _attention(family: Family) -> list[str]:
    """The attention implementations beside eager that transformers declares for a type."""
    kind = getattr(transformers, next(iter(family.classes), ""), None)
    declared = {"sdpa": "sdpa", "flash": "flash_attn", "flex": "flex_attn"}
    return [name for name, flag in declared.items() if getattr(kind, f"_supports_{flag}", False)]
