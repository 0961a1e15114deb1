"""Public texts about what is to be forgotten, brought by the user: the stream ``background`` of any benchmark.

An attacker may train on them (source ``background`` of relearning). They may speak of the subjects that V is asked
about; every row that tells an answer of V is dropped before it is used, and the attack's record counts them.
"""

from dataclasses import replace
from pathlib import Path

from expunge.benchmarks.pieces import passages
from expunge.benchmarks.tables import Table, read_table, read_texts
from expunge.knowledge.facts import Knowledge

BACKGROUND = "background"
WORDS = 60
"""The longest passage, as in drafts: what tells an answer is dropped whole, so that shorter ones lose less."""
ROWS = (".json", ".jsonl")


def with_background(knowledge: Knowledge, place: str | None) -> Knowledge:
    """``knowledge`` with the texts of ``place`` in its stream ``background``, after its own; unchanged without one.

    ``place`` is a text file, a folder of ``.txt`` and ``.md``, or rows with a column ``text`` (``.jsonl``, ``.json``).
    Raises :class:`InputError` for what cannot be read.
    """
    if place is None:
        return knowledge
    given = passages(texts_at(Path(place)), f"{BACKGROUND}-given", WORDS)
    own = knowledge.streams.get(BACKGROUND, ())
    return replace(knowledge, streams={**knowledge.streams, BACKGROUND: (*own, *given)})


def texts_at(path: Path) -> Table:
    """The texts of a file or folder, one a row."""
    return read_table(path) if path.suffix in ROWS and path.is_file() else read_texts(str(path))
