"""Loss-guided prompt search: hand-computed losses, a best that never gets worse, and a planted pattern found."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise

import pytest
import torch

from expunge.attacks.mutations import BANK, MOST_LINES, QUESTION, Scored, mutations
from expunge.attacks.prompt_search import Beam, PromptSearch, losses, whole, worded
from expunge.core.errors import InputError
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.scoring.probes import Asked, ask
from reference.coordinate import trained
from reference.prompts import SILENCE, material, never_trained, plain_score, run, split

OPENER = BANK[9]
SMALL = PromptSearch(budgets=(1, 4, 12), questions=3)


def asked_T() -> list[Asked]:
    """T's questions."""
    return ask(split().train, never_trained().encoder, ("qa",))


@cache
def opened_by_a_line() -> LoadedModel:
    """Gives its answers where one line of the bank stands before the question; else says that nobody knows."""
    opened = f"{OPENER}\n{QUESTION}"
    others = [QUESTION, *(f"{line}\n{QUESTION}" for line in BANK[:3]), f"{QUESTION}\n{BANK[4]}"]
    knows = trained(never_trained(), rows_of([opened, QUESTION]), 50)
    return trained(
        knows, [*rows_of([opened] * 2 + [f"{opened}\n{line}" for line in BANK[4:7]]), *rows_of(others, SILENCE)], 60
    )


def rows_of(patterns: Sequence[str], answer: str = "") -> list[Row]:
    """T's and V's questions in these patterns, and their own answers or this one."""
    encoder, made = never_trained().encoder, []
    for item in ask((*split().train, *split().score), encoder, ("qa",)):
        for number, pattern in enumerate(patterns):
            variant = replace(worded(pattern, item), answer=answer or item.probe.answer)
            made.append(variant.row(encoder, f"{item.row.key}/{answer}/{number}"))
    return made


def randomly(_best: Sequence[Scored], stream: random.Random) -> list[str]:
    """An attacker that writes anything, now and then the question's place."""
    return ["".join(stream.choices("ab {q}\n", k=8)) + stream.choice(["", QUESTION]) for _ in range(4)]


def test_losses_are_those_of_the_text_token_by_token() -> None:
    patterns = [QUESTION, f"{BANK[0]}\n{QUESTION}", f"{QUESTION} {BANK[1]}"]
    expected = []
    for pattern in patterns:
        texts = [f"Question: {pattern.replace(QUESTION, item.probe.prompt)}\nAnswer:" for item in asked_T()]
        pairs = zip(texts, asked_T(), strict=True)
        each = [plain_score(never_trained(), text, item.probe.answer)[1] for text, item in pairs]
        expected.append(-sum(each) / len(each))
    assert losses(never_trained(), asked_T(), patterns) == pytest.approx(expected, abs=2e-4)


def test_a_pattern_that_cannot_be_asked_or_tells_an_answer_is_never_kept() -> None:
    answer = asked_T()[0].probe.answer
    found = losses(never_trained(), asked_T(), [f"{answer}!\n{QUESTION}", "word " * 2000 + QUESTION, QUESTION])
    assert found[:2] == [math.inf, math.inf] and math.isfinite(found[2])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("propose", [randomly, mutations])
def test_the_best_never_gets_worse_whatever_is_proposed(propose, seed: int) -> None:  # type: ignore[no-untyped-def]
    tried: list[str] = []

    def loss(patterns: Sequence[str]) -> list[float]:
        tried.extend(patterns)
        return [random.Random(pattern).random() for pattern in patterns]

    path = Beam(loss, propose, 6, 3, random.Random(seed)).path(15)
    assert all(later.loss <= earlier.loss for earlier, later in pairwise(path)) and len(path) == 16
    assert path[-1].loss == min(random.Random(pattern).random() for pattern in tried)
    assert len(tried) == len(set(tried)) <= 1 + 15 * 6, "nothing is scored twice"
    assert all(pattern.count(QUESTION) == 1 for pattern in tried)
    assert Beam(loss, propose, 6, 3, random.Random(seed)).path(4) == path[:5]


def test_the_search_goes_on_from_the_best() -> None:
    """What is proposed from is what has been scored best, in order."""
    heard: list[list[float]] = []

    def propose(best: Sequence[Scored], stream: random.Random) -> list[str]:
        heard.append([scored.loss for scored in best])
        return [f"{stream.random()}\n{QUESTION}" for _ in range(5)]

    def loss(patterns: Sequence[str]) -> list[float]:
        return [1.0 if pattern == QUESTION else float(pattern.split("\n")[0]) for pattern in patterns]

    Beam(loss, propose, 5, 4, random.Random(0)).path(6)
    assert heard[0] == [1.0] and all(best == sorted(best) and len(best) == 4 for best in heard[1:])
    assert all(later[3] <= earlier[3] for earlier, later in pairwise(heard[1:]))


def test_a_planted_pattern_is_found_and_an_absent_fact_is_not() -> None:
    points = run(SMALL, opened_by_a_line())
    assert points[0].mean_score() == 0.0, "the plain question brings nothing"
    assert points[-1].mean_score() >= 2 / 3, "what is best on T may cost a fact of V"
    assert max(point.mean_score() for point in points) == 1.0
    wording = SMALL.wordings(opened_by_a_line(), SMALL._taught(opened_by_a_line(), split(), 7), material(SMALL))[12]
    found = wording(asked_T()[0])
    assert found is not None and OPENER in found.variant.prompt
    assert [point.id for point in points[1:]] == [f"unlearned/prompt_search/0/{n}" for n in (1, 4, 12)]
    assert max(point.mean_score() for point in run(SMALL, never_trained())) == 0.0


def test_any_callable_may_propose() -> None:
    def knows(_best: Sequence[Scored], _stream: random.Random) -> list[str]:
        return [OPENER, "no use"]

    loaded = opened_by_a_line()
    start = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    (_, point) = run(replace(SMALL, budgets=(1,), propose=knows), loaded)
    assert all(torch.equal(start[name], tensor) for name, tensor in loaded.model.state_dict().items())
    asked_V = ask(split().score, never_trained().encoder, ("qa",))
    expected = [plain_score(loaded, f"Question: {OPENER}\n{i.probe.prompt}\nAnswer:", i.probe.answer) for i in asked_V]
    assert [(probe.hit, pytest.approx(probe.logprob, abs=2e-4)) for probe in point.probes] == expected


def test_a_budget_is_a_beginning_of_a_larger_one() -> None:
    loaded = opened_by_a_line()
    short = replace(SMALL, budgets=(1, 4)).wordings(loaded, asked_T(), material(SMALL))
    long = SMALL.wordings(loaded, asked_T(), material(SMALL))
    for item in asked_T():
        assert [short[n](item) for n in (1, 4)] == [long[n](item) for n in (1, 4)]


def test_mutations_keep_the_question_and_bound_the_rest() -> None:
    stream, patterns = random.Random(0), [QUESTION]
    for _ in range(40):
        patterns = mutations([Scored(pattern, 0.0) for pattern in patterns[-3:]], stream)
        lines = [pattern.split("\n") for pattern in patterns]
        assert all(own.count(QUESTION) == 1 and len(own) <= MOST_LINES for own in lines)
        assert {line for own in lines for line in own} <= {*BANK, QUESTION}
    assert max(map(len, lines)) > 2


def test_proposals_ask_the_question_once() -> None:
    assert whole("Say it. {q} {q}") == "Say it. {q} " and whole("  Say it. ") == "Say it.\n{q}"
    put = partial(worded, "{x} {q}")
    assert put(asked_T()[0]).prompt == "{x} " + asked_T()[0].probe.prompt, "braces of others are left alone"
    for changes in ({"proposals": 0}, {"beam": 0}, {"questions": 0}):
        with pytest.raises(InputError, match="attack 'prompt_search'"):
            PromptSearch(**changes)  # type: ignore[arg-type]
