"""The form axis: one piece of knowledge asked in forms that a benchmark does not bring, made from its own questions.

After ORT (Ye et al., arXiv 2506.07795), which asks the same knowledge by gap, question, choice and broken words: what
is forgotten in one form only is not forgotten. The wording is ours, and so is every rule below; their scripts are not
copied. Made probes are asked, never trained on.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.passages import CONTINUATION
from expunge.registry import suggestion
from expunge.scoring.probes import ProbeScore, asking_forms

ALL = "all"
"""Stands for every form that the benchmark brings."""
CHOICE = "choice"
OPTIONS = 4
"""Options of a made question by choice (our choice): the answer and up to three others."""
LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a form is made from: the fact, its question, others' answers, and the fact's own random numbers."""

    fact: Fact
    asked: Probe
    others: Sequence[str]
    draw: random.Random


Maker = Callable[[_Scene], tuple[Probe, ...]]


def asked_in(facts: Sequence[Fact], axis: Iterable[str], *, pool: Sequence[Fact], seed: int) -> tuple[Fact, ...]:
    """``facts`` with a probe more for every form of ``axis`` that can be made and that they do not have.

    Made from a fact's first ``qa`` probe, else its first question; a document asks nothing, so nothing is made of it.
    ``pool`` are the facts whose answers stand for wrong ones. Forms, seeded by fact:

    - ``cloze``: the answer stands for a gap.
    - ``choice``: the answer among up to three of other subjects (of the same attribute, where facts name theirs), once
      for every rotation of the options; a letter is the answer. Scores count a question once, by its worst rotation
      (:func:`without_luck`): a guess is right in one of them only.
    - ``subtoken``: the question, and how the answer's first word begins (half of its letters).
    - ``typo``: the question with two letters swapped in the subject's name, else in its longest word.
    """
    wanted = [name for name in dict.fromkeys(axis) if name in MADE]
    answers = _answers(pool)
    return tuple(_extended(fact, wanted, answers, seed) for fact in facts)


def check_forms(axis: Iterable[str], facts: Sequence[Fact]) -> None:
    """:class:`InputError` for a form that ``facts`` do not have and that cannot be made."""
    there = {probe.form for fact in facts for probe in fact.probes if probe.prompt}
    for name in axis:
        if name not in there | {ALL, *MADE}:
            known = (*sorted(there), *MADE, ALL)
            raise InputError(f"form_axis: no form {name!r} is there or can be made; {suggestion(name, known)}")


def on_axis(axis: Sequence[str], asked: Sequence[str], facts: Sequence[Fact]) -> tuple[str, ...]:
    """The forms to compare: those ``asked`` anyway and those of ``axis``, ``all`` written out."""
    own = asking_forms(facts) if ALL in axis else ()
    return tuple(dict.fromkeys((*asked, *own, *(name for name in axis if name != ALL))))


def without_luck(scores: Sequence[ProbeScore]) -> list[ProbeScore]:
    """``scores`` with the rotations of a made choice as one: the one the model does worst at."""
    kept: list[ProbeScore] = []
    worst: dict[tuple[str, str], int] = {}
    for item in scores:
        if item.probe.form != CHOICE or not _is_made(item.probe):
            kept.append(item)
            continue
        place = worst.setdefault((item.fact.id, item.probe.prompt.partition("\n")[0]), len(kept))
        if place == len(kept):
            kept.append(item)
        elif _rank(item) < _rank(kept[place]):
            kept[place] = item
    return kept


def _rank(item: ProbeScore) -> tuple[bool, float]:
    return item.score.greedy, item.score.probability


def _extended(fact: Fact, wanted: Sequence[str], answers: Mapping[str, list[tuple[str, str]]], seed: int) -> Fact:
    asked = next(iter((*fact.of_form("qa"), *_questions(fact))), None)
    missing = [name for name in wanted if not fact.of_form(name)]
    if asked is None or not missing:
        return fact
    others = [text for subject, text in answers.get(_kind(fact), ()) if subject != fact.subject]
    scenes = ((name, _Scene(fact, asked, others, random.Random(derive(seed, name, fact.id)))) for name in missing)
    return replace(fact, probes=(*fact.probes, *(probe for name, scene in scenes for probe in MADE[name](scene))))


def _questions(fact: Fact) -> tuple[Probe, ...]:
    return tuple(probe for probe in fact.probes if probe.prompt and probe.form != CONTINUATION)


def _kind(fact: Fact) -> str:
    return fact.attribute


def _answers(pool: Sequence[Fact]) -> dict[str, list[tuple[str, str]]]:
    """Subject and answer of every fact that asks, by attribute; facts without one are of one kind."""
    found: dict[str, list[tuple[str, str]]] = {}
    for fact in pool:
        rows = found.setdefault(_kind(fact), [])
        rows += [(fact.subject, probe.answer) for probe in (*fact.of_form("qa"), *_questions(fact))[:1]]
    return found


def _cloze(scene: _Scene) -> tuple[Probe, ...]:
    question = scene.asked.prompt.strip()
    frame = 'The answer to the question "{}" is ___.' if question.endswith("?") else "{} ___."
    return (replace(scene.asked, prompt=f"Fill in the gap: {frame.format(question)}", form="cloze"),)


def _choice(scene: _Scene) -> tuple[Probe, ...]:
    right = scene.asked.answer
    others = {text.casefold(): text for text in scene.others if text.casefold() != right.casefold()}
    if not others:
        return ()
    wrong = scene.draw.sample(sorted(others.values()), min(OPTIONS - 1, len(others)))
    options = scene.draw.sample([right, *wrong], len(wrong) + 1)
    letters = LETTERS[: len(options)]
    rotations = (options[start:] + options[:start] for start in range(len(options)))
    return tuple(_lettered(scene.asked.prompt, turned, letters, turned.index(right)) for turned in rotations)


INSTRUCTION = "Answer with the letter of the right option."


def _lettered(question: str, options: Sequence[str], letters: str, right: int) -> Probe:
    lines = "".join(f"\n{letter}. {text}" for letter, text in zip(letters, options, strict=True))
    wrong = tuple(letter for letter in letters if letter != letters[right])
    return Probe(f"{' '.join(question.split())}{lines}\n{INSTRUCTION}", letters[right], CHOICE, wrong)


def _is_made(probe: Probe) -> bool:
    return probe.prompt.endswith(f"\n{INSTRUCTION}")


def _subtoken(scene: _Scene) -> tuple[Probe, ...]:
    first = re.match(r"\w{2,}", scene.asked.answer.strip())
    if first is None:
        return ()
    begun = first[0][: len(first[0]) // 2]
    hint = f'{scene.asked.prompt.strip()} (The first word of the answer begins with "{begun}".)'
    return (replace(scene.asked, prompt=hint, form="subtoken"),)


def _typo(scene: _Scene) -> tuple[Probe, ...]:
    prompt = scene.asked.prompt
    words = [word for word in re.finditer(r"[^\W\d_]{4,}", prompt) if _swaps(word[0])]
    if not words:
        return ()
    name = scene.fact.subject.casefold().split()
    named = [word for word in words if word[0].casefold() in name]
    word = (named or [max(words, key=lambda found: len(found[0]))])[-1]
    at = word.start() + scene.draw.choice(_swaps(word[0]))
    typed = prompt[:at] + prompt[at + 1] + prompt[at] + prompt[at + 2 :]
    return (replace(scene.asked, prompt=typed, form="typo"),)


def _swaps(word: str) -> list[int]:
    """Inner places at which a letter differs from the next, which is an inner one too."""
    return [place for place in range(1, len(word) - 2) if word[place] != word[place + 1]]


MADE: Mapping[str, Maker] = {"cloze": _cloze, CHOICE: _choice, "subtoken": _subtoken, "typo": _typo}
"""Forms that can be made, by name."""
