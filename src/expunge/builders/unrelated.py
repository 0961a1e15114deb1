"""Unrelated text for defences that want to stay put under fine-tuning: invented sums, never the attacker's texts."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from expunge.builders.base import Builder, Facts, Material, documents
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.registry import builder

NAMES = ("Pia", "Tom", "Rana", "Ole", "Mei", "Juan")
THINGS = ("pencils", "marbles", "stickers", "oranges", "ribbons", "postcards", "biscuits", "shells")
PATTERNS: tuple[tuple[str, Callable[[int, int], int]], ...] = (
    ("{n} starts the day with {a} {t} and is given {b} more, which makes {r} {t} in all.", lambda a, b: a + b),
    ("Out of {a} {t}, {n} gives {b} away, so {r} {t} are left.", lambda a, b: a - b),
    ("{n} fills {a} boxes with {b} {t} each and counts {r} {t}.", lambda a, b: a * b),
)
LEAST, MOST = 2, 60


@builder("unrelated")
@dataclass(frozen=True, kw_only=True)
class Unrelated(Builder):
    """``num`` different sums in words, as documents, for the stream ``unrelated``.

    Word sums stand in for the set (GSM8K) that ILU's paper finds to generalise best (2506.01339). They are generated,
    not taken from the package's everyday sentences: worlds hand those, often all of them, to the relearning attacker
    as its source ``unrelated``, and a defender trained on them would be tested on its own training text. A sum of
    this builder shares no sentence with that list, whatever the seeds. ``num`` = 64 is our choice.
    """

    paper: ClassVar[str] = "Wang et al. 2025, arXiv 2506.01339"
    provides: ClassVar[tuple[str, ...]] = ("unrelated",)
    num: int = 64

    def __post_init__(self) -> None:
        """Refuse less than one text, and more than a few thousand."""
        if not 1 <= self.num <= 5000:
            raise InputError(f"builder parameter 'num' is {self.num!r}; it must lie between 1 and 5000.")

    def build(self, material: Material) -> dict[str, Facts]:
        """The stream ``unrelated``, drawn from the material's seed."""
        source = random.Random(derive(material.seed, "sums"))
        texts: dict[str, None] = {}
        while len(texts) < self.num:
            texts[_sum(source)] = None
        return {"unrelated": documents(texts, "sum")}


def _sum(source: random.Random) -> str:
    """One sentence; numbers in falling order, so that nothing becomes negative."""
    pattern, result = source.choice(PATTERNS)
    b, a = sorted(source.sample(range(LEAST, MOST), 2))
    return pattern.format(n=source.choice(NAMES), t=source.choice(THINGS), a=a, b=b, r=result(a, b))
