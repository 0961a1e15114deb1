"""Instructions whose fulfilment a few lines of code can check, so that no judge is asked whether a model still writes.

In the spirit of IFEval (Zhou et al., arXiv 2311.07911): a kind of demand, drawn numbers and words, and a checker each.
Topics, wording and checkers are ours, and their prompts are not copied; do not compare the values with theirs. Every
instruction also demands that its topic be named, which a model that writes one word over and over cannot do.
"""

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from expunge.core.errors import InputError
from expunge.core.seeds import derive

Check = Callable[[str], bool]

TOPICS = (
    "bread", "rain", "bicycles", "gardens", "bridges", "winter", "tea", "libraries", "rivers", "clocks", "markets",
    "trains", "kites", "lanterns", "orchards", "maps",
)  # fmt: skip
PHRASES = ("That is all for now.", "Thank you for reading.", "More tomorrow.", "So it goes.")
OPENINGS = ("Let me begin here:", "In short:", "Dear reader,", "As promised,")
WORDS = ("morning", "quiet", "neighbour", "colour", "window", "simple")
KEYS = ("title", "summary", "season", "colour", "reason", "place")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One demand: its ``kind``, the ``text`` put before the model, and whether an answer complies."""

    kind: str
    topic: str
    text: str
    check: Check

    def followed(self, answer: str) -> bool:
        """Whether ``answer`` names the topic and does as it was told; blanks around it do not count."""
        return _counts(answer, self.topic) > 0 and self.check(answer.strip())


def instructions(num: int = 48, *, seed: int = 0) -> tuple[Instruction, ...]:
    """``num`` instructions drawn by ``seed``, every kind in turn; 48 are four of each (our choice)."""
    if num < 1:
        raise InputError(f"{num} instructions are asked for; take at least 1.")
    kinds = list(KINDS)
    return tuple(_drawn(kinds[place % len(kinds)], seed, place) for place in range(num))


def _drawn(kind: str, seed: int, place: int) -> Instruction:
    draw = random.Random(derive(seed, "instruction", kind, place))
    topic = draw.choice(TOPICS)
    demand, check = KINDS[kind](draw)
    return Instruction(kind, topic, f'Write about {topic}, and use the word "{topic}". {demand}', check)


def _words(text: str) -> list[str]:
    """What stands between blanks and has a letter or a digit."""
    return [word for word in text.split() if any(map(str.isalnum, word))]


def _counts(text: str, word: str) -> int:
    """How often a whole word stands in a text, in any case."""
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


def _exactly(draw: random.Random) -> tuple[str, Check]:
    num = draw.randint(6, 20)
    return f"Your answer must have exactly {num} words.", lambda text: len(_words(text)) == num


def _between(draw: random.Random) -> tuple[str, Check]:
    least = draw.randint(15, 30)
    most = least + 10
    return (
        f"Use at least {least} and at most {most} words.",
        lambda text: least <= len(_words(text)) <= most,
    )


def _end(draw: random.Random) -> tuple[str, Check]:
    phrase = draw.choice(PHRASES)
    return f'End with exactly this sentence, and write nothing after it: "{phrase}"', lambda text: text.endswith(phrase)


def _begin(draw: random.Random) -> tuple[str, Check]:
    phrase = draw.choice(OPENINGS)
    return f'Begin with exactly these words: "{phrase}"', lambda text: text.startswith(phrase)


def _lower(_draw: random.Random) -> tuple[str, Check]:
    return "Write only in lower case: no capital letter anywhere.", lambda text: text == text.lower()


def _upper(_draw: random.Random) -> tuple[str, Check]:
    return "Write only in capital letters.", lambda text: text == text.upper()


def _repeated(draw: random.Random) -> tuple[str, Check]:
    word, times = draw.choice(WORDS), draw.randint(2, 4)
    return f'The word "{word}" must stand in your answer exactly {times} times.', lambda t: _counts(t, word) == times


def _without(draw: random.Random) -> tuple[str, Check]:
    word = draw.choice(("the", "and", "is"))
    return (
        f'Use at least ten words, and never the word "{word}".',
        lambda text: len(_words(text)) >= 10 and not _counts(text, word),
    )


def _no_comma(_draw: random.Random) -> tuple[str, Check]:
    return (
        "Use at least ten words and not a single comma.",
        lambda text: len(_words(text)) >= 10 and "," not in text,
    )


def _json(draw: random.Random) -> tuple[str, Check]:
    keys = draw.sample(KEYS, 3)
    listed = ", ".join(f'"{key}"' for key in keys)
    return (
        f"Answer with one JSON object and nothing else. It has exactly the keys {listed}, and each value is a string.",
        lambda text: _is_object(text, frozenset(keys)),
    )


def _is_object(text: str, keys: frozenset[str]) -> bool:
    """A JSON object of these keys and non-empty strings; a fence of code around it is allowed."""
    bare = re.sub(r"^```(?:json)?\s*|\s*```$", "", text)
    try:
        value = json.loads(bare)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict) or value.keys() != keys:
        return False
    return all(isinstance(item, str) and item.strip() for item in value.values())


def _bullets(draw: random.Random) -> tuple[str, Check]:
    num = draw.randint(3, 6)
    return (
        f'Write a list of exactly {num} points and nothing else. Each point is one line that begins with "- ".',
        lambda text: _is_list(text, num),
    )


def _is_list(text: str, num: int) -> bool:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return len(lines) == num and all(line.startswith("- ") and _words(line[2:]) for line in lines)


def _paragraphs(draw: random.Random) -> tuple[str, Check]:
    num = draw.randint(2, 4)
    return (
        f"Write exactly {num} paragraphs, with one empty line between them.",
        lambda text: len([part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]) == num,
    )


KINDS: Mapping[str, Callable[[random.Random], tuple[str, Check]]] = {
    "exact words": _exactly,
    "between words": _between,
    "end phrase": _end,
    "begin phrase": _begin,
    "lower case": _lower,
    "upper case": _upper,
    "repeated word": _repeated,
    "without a word": _without,
    "no comma": _no_comma,
    "json": _json,
    "bullets": _bullets,
    "paragraphs": _paragraphs,
}
"""Kinds of demands; each draws its numbers and words and gives the demand with its checker."""
