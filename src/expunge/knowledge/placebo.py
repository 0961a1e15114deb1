"""Placebo facts drawn from a user's own: the same questions about subjects that never existed.

A placebo subject stands in the place of a true one. Its name is put together from the words of several subjects, and
its answers are those of others to the same kind of question, so that they are of the right type and about as common.
Nobody was ever taught them: what comes back of them the attacker taught himself, and how fast a model learns them says
how fast it learns at all.

A model that knows the true facts must gain nothing by that. So an answer is never one of the subject in whose place the
placebo stands (the wording of a question may be remembered), nor of anybody who shares a telling word of the name; and
a text that recalls its subject by anything but the whole name makes no placebo. All of this is our choice.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.invented import invented_name
from expunge.knowledge.leaks import words_of

ALL = "all"
"""As many placebo subjects as can be drawn, at most one for each true one."""
Words = tuple[str, ...]
Kind = tuple[str, int, Words]


def placebo_facts(forget: Sequence[Fact], retain: Sequence[Fact], num: int | str, seed: int) -> tuple[Fact, ...]:
    """``num`` placebo subjects (or :data:`ALL`), each with the questions of a drawn true one of ``forget``.

    Attributes, hops and forms stay, so that placebo facts are asked and taught like the true ones. A question or text
    that cannot be turned is left out, and so is a subject without any that can.
    :class:`InputError` with the first reason, where fewer than ``num`` subjects (``all``: none) can be drawn.
    """
    subjects = list(dict.fromkeys(fact.subject for fact in forget))
    random.Random(derive(seed, "placebo", "subjects")).shuffle(subjects)
    wanted = len(subjects) if num == ALL else int(num)
    draw = _Draw(forget, retain, seed)
    made: list[tuple[Fact, ...]] = []
    faults: list[str] = []
    for subject in subjects:
        try:
            made += [draw.instead_of(subject, len(made))] if len(made) < wanted else []
        except InputError as error:
            faults.append(str(error))
    if len(made) < (1 if num == ALL else wanted):
        why = faults[0] if faults else "there is one for each true subject at most; lower the number."
        raise InputError(f"{len(made)} of {wanted} placebo subjects can be drawn: {why}")
    return tuple(fact for facts in made for fact in facts)


class _Draw:
    """What placebo subjects are made of, and whose answers are used up."""

    def __init__(self, forget: Sequence[Fact], retain: Sequence[Fact], seed: int) -> None:
        everybody = (*forget, *retain)
        self.forget, self.names = forget, list(dict.fromkeys(fact.subject for fact in everybody))
        self.texts = "\n".join(text for fact in everybody for p in fact.probes for text in (p.prompt, p.answer))
        self.told: defaultdict[str, set[Words]] = defaultdict(set)
        for fact in everybody:
            for word in _telling(fact.subject):
                self.told[word] |= _answers(fact)
        bearers = Counter(word for name in self.names for word in _telling(name))
        self.common = {word for word, number in bearers.items() if 2 * number > len(self.names)}
        self.kinds: defaultdict[Kind, list[tuple[Fact, set[Words]]]] = defaultdict(list)
        for fact in forget:
            self.kinds[_kind(fact)].append((fact, _answers(fact)))
        self.source = random.Random(derive(seed, "placebo", "facts"))
        self.used: Counter[str] = Counter()

    def instead_of(self, subject: str, number: int) -> tuple[Fact, ...]:
        """The facts of an invented subject that stands in this one's place."""
        own = [fact for fact in self.forget if fact.subject == subject]
        if not any(map(_asked, own)):
            raise InputError(_why_not(own[0]))
        name = invented_name(subject, self.names, self.source)
        if name.casefold() in self.texts.casefold():
            raise InputError(f"the invented name {name!r} stands in the facts; take another seed.")
        known = {said for word in _telling(name) - self.common for said in self.told[word]}
        turned = [_turned(fact, donor, name, number) for fact in own if (donor := self._donor(fact, known))]
        if not turned:
            raise InputError(_why_not(next(filter(_asked, own))))
        self.names.append(name)
        return tuple(turned)

    def _donor(self, fact: Fact, known: set[Words]) -> Fact | None:
        """Whose answers the placebo gets, the least used first; ``None`` where nobody's will do."""
        taboo = known | _answers(fact)
        others = [other for other, answers in self.kinds[_kind(fact)] if not taboo & answers] if _asked(fact) else []
        self.source.shuffle(others)
        chosen = min(others, key=lambda other: self.used[other.id], default=None)
        self.used.update([chosen.id] if chosen else [])
        return chosen


def _kind(fact: Fact) -> Kind:
    """What is asked: the attribute (without one, the wording of the first question), the hops and the forms."""
    asked = _asked(fact)
    what = fact.attribute or (asked[0].prompt.replace(fact.subject, "") if asked else "")
    return what, fact.hops, tuple(probe.form for probe in asked)


def _asked(fact: Fact) -> tuple[Probe, ...]:
    """The questions that name the subject, in full and only so; the letter of a choice belongs to its own question."""
    named = (probe for probe in fact.probes if fact.subject in probe.prompt and probe.form != "choice")
    return tuple(probe for probe in named if not any(_recalls(text, fact) for text in (probe.prompt, probe.answer)))


def _written(fact: Fact, answer: str) -> tuple[Probe, ...]:
    """The documents that name the subject in full and only so, and say ``answer``."""
    texts = (probe for probe in fact.probes if not probe.prompt and fact.subject in probe.answer)
    return tuple(probe for probe in texts if _whole(answer).search(probe.answer) and not _recalls(probe.answer, fact))


def _recalls(text: str, fact: Fact) -> bool:
    """Whether a text holds a telling word of the subject's name outside the whole name."""
    return not _telling(fact.subject).isdisjoint(re.findall(r"\w+", text.replace(fact.subject, " ")))


def _telling(name: str) -> set[str]:
    """The words of a name without particles in small letters, if it has others."""
    words = set(re.findall(r"\w+", name))
    return {word for word in words if not word.islower()} or words


def _answers(fact: Fact) -> set[Words]:
    """The words of the fact's answers, the subject's own name aside."""
    return {words_of(probe.answer.replace(fact.subject, " ")) for probe in fact.probes if probe.prompt}


def _turned(fact: Fact, donor: Fact, name: str, number: int) -> Fact:
    """``fact`` about ``name``, with the answers of ``donor``; a document that says the old answer says the new one."""
    pairs = list(zip(_asked(fact), _asked(donor), strict=True))
    asked = [
        Probe(
            own.prompt.replace(fact.subject, name),
            other.answer.replace(donor.subject, name),
            own.form,
            tuple(wrong.replace(donor.subject, name) for wrong in other.perturbed),
        )
        for own, other in pairs
    ]
    old, new = pairs[0][0].answer, asked[0].answer
    texts = ((probe.form, _whole(old).sub(lambda _: new, probe.answer)) for probe in _written(fact, old))
    written = [Probe("", text.replace(fact.subject, name), form) for form, text in texts]
    return Fact(f"placebo-{number}/{fact.id}", name, (*asked, *written), fact.attribute, fact.hops)


def _whole(answer: str) -> re.Pattern[str]:
    """The answer as whole words."""
    return re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)")


def _why_not(fact: Fact) -> str:
    """Why nobody can stand in the place of this fact's subject."""
    asking = [probe for probe in fact.probes if probe.prompt and probe.form != "choice"]
    if not asking:
        return f"fact {fact.id!r} is a text or a choice, and a placebo needs a question with an answer; add one."
    if not _asked(fact):
        return (
            f"fact {fact.id!r}: the question {asking[0].prompt[:80]!r} does not name its subject {fact.subject!r} in "
            "full and only so; give the row a 'subject' that its question names."
        )
    return (
        f"fact {fact.id!r}: nobody else has another answer of the same attribute in the same forms; say what is asked "
        "for as 'attribute', and give at least two facts of each."
    )
