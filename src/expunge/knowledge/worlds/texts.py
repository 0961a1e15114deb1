"""Plain sentences about everyday matters: the ``unrelated`` attack texts of every world."""

import random
from functools import cache
from importlib.resources import files

from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact
from expunge.knowledge.worlds.forms import document


def packaged_text(name: str) -> str:
    """The text of a data file that ships with the worlds."""
    return (files("expunge.knowledge.worlds") / "data" / name).read_text(encoding="utf-8")


@cache
def sentences() -> tuple[str, ...]:
    """All packaged sentences, in file order."""
    return tuple(packaged_text("unrelated.txt").splitlines())


def unrelated(count: int, seed: int) -> tuple[Fact, ...]:
    """``count`` documents in seeded order, at most as many as there are sentences (60)."""
    pool = list(sentences())
    random.Random(derive(seed, "unrelated")).shuffle(pool)
    return tuple(document(f"unrelated-{index}", text) for index, text in enumerate(pool[:count]))
