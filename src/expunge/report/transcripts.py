"""What the models said to the same question, side by side. Probes are taken in file order, never by result.

A study writes texts for some probes only, and none where it was redacted; a probe with text on record goes first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.report.shapes import Model, World

MOST = 6
Key = tuple[str, str, str]
UNWRITTEN = "(no text on record)"


@dataclass(frozen=True, slots=True)
class Said:
    """One model's words. ``hit`` is the teacher-forced greedy match: every answer token is the likeliest."""

    label: str
    role: str
    text: str
    hit: bool


@dataclass(frozen=True, slots=True)
class Transcript:
    """A question, its true answer, and what each model said."""

    subject: str
    prompt: str
    answer: str
    said: tuple[Said, ...]


def transcripts(world: World, split: str, most: int = MOST) -> list[Transcript]:
    """The first probe of each of the first ``most`` subjects of ``split`` in the first replicate."""
    speakers = [model for model in world.models if model.evaluate and model.role != "null"]
    if not speakers:
        return []
    rows = {model.label: _by_probe(model, split) for model in speakers}
    return [_transcript(key, speakers, rows) for key in _first_of_each_subject(rows[speakers[0].label], most)]


def _by_probe(model: Model, split: str) -> dict[Key, Mapping[str, Any]]:
    """(fact, form, prompt) → sample row, in file order, first replicate."""
    samples = (row for row in model.evaluate[0].samples if row.get("split") == split)
    return {(str(row["fact"]), str(row["form"]), str(row.get("prompt"))): row for row in samples}


def _first_of_each_subject(rows: Mapping[Key, Mapping[str, Any]], most: int) -> list[Key]:
    """Probes with text before others, question forms before other forms; else the order of the file."""
    ordered = sorted(rows, key=lambda key: (rows[key].get("generated") is None, key[1] != "qa"))
    first: dict[str, Key] = {}
    for key in ordered:
        first.setdefault(str(rows[key].get("subject")), key)
    return list(first.values())[:most]


def _transcript(key: Key, speakers: Sequence[Model], rows: Mapping[str, Mapping[Key, Mapping[str, Any]]]) -> Transcript:
    said = [(model, rows[model.label].get(key)) for model in speakers]
    row = rows[speakers[0].label][key]
    return Transcript(
        subject=str(row.get("subject", "")),
        prompt=_text(row.get("prompt")),
        answer=_text(row.get("answer")),
        said=tuple(
            Said(model.label, model.role, _text(found.get("generated")), bool(found.get("hit")))
            for model, found in said
            if found is not None
        ),
    )


def _text(value: Any) -> str:
    return UNWRITTEN if value is None else str(value)
