"""Calibration against literal twins, and what a calibrated, a sure and a wrong model must give."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.metrics.base import Evidence, Reading
from expunge.metrics.calibration import Sure, brier_rows, calibration_error
from expunge.metrics.evidence import gather
from expunge.registry import build
from expunge.scoring.choices import Choice, choices
from expunge.scoring.own_answers import OwnAnswer, own_answers
from expunge.scoring.probes import Asked, ask
from reference import calibration as twins
from reference.metrics_world import tiny
from reference.readout import asked as questions
from reference.readout import knows

NAMES = ("calibration_error", "brier_score", "choice_calibration_error", "choice_brier_score")
SURE = st.sampled_from([0.0, 0.13, 0.61, 0.97, 1.0]) | st.integers(0, 997).map(lambda n: n / 997)
"""No value but 0 and 1 lies on the edge of up to 20 bins, where it would fall by rounding."""
SAID = st.lists(st.tuples(SURE, st.booleans()), min_size=1, max_size=30)


def sure(pairs: Sequence[tuple[float, bool]], rows: int = 1) -> list[Sure]:
    return [Sure(f"s{place // rows}", value, hit) for place, (value, hit) in enumerate(pairs)]


@given(SAID, st.integers(1, 20))
@example([(1.0, False), (0.85, True)], 10)  # neighbours at the upper end, of opposite sign
@example([(0.0, True), (0.05, False), (0.15, True)], 10)
def test_the_error_is_its_twin_and_never_above_the_mean_distance(pairs: list[tuple[float, bool]], bins: int) -> None:
    values, hits = [value for value, _ in pairs], [hit for _, hit in pairs]
    found = calibration_error(sure(pairs), bins, resamples=20)
    assert found.value == pytest.approx(twins.calibration_error(values, hits, bins))
    distance = sum(abs(value - hit) for value, hit in pairs) / len(pairs)
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low <= found.value <= min(found.high, distance + 1e-9)
    rows = [item.value for item in brier_rows(sure(pairs))]
    assert sum(rows) / len(rows) == pytest.approx(twins.brier(values, hits))


def simulated(kind: str) -> list[tuple[float, bool]]:
    """20 000 answers of a model that is right as often as it says, and of ones that are always sure."""
    stream = np.random.default_rng(0)
    values = stream.uniform(0, 1, 20_000)
    drawn = {
        "calibrated": (values, stream.uniform(0, 1, 20_000) < values),
        "sure and wrong": (np.ones(200), np.zeros(200, bool)),
        "sure and right": (np.ones(200), np.ones(200, bool)),
        "twice as sure": (values, stream.uniform(0, 1, 20_000) < values / 2),
    }
    return [(float(value), bool(hit)) for value, hit in zip(*drawn[kind], strict=True)]


@pytest.mark.parametrize(
    ("kind", "error", "brier"),
    [
        ("calibrated", 0.0, 1 / 6),  # E c(1−c)
        ("sure and wrong", 1.0, 1.0),
        ("sure and right", 0.0, 0.0),
        ("twice as sure", 1 / 4, 1 / 4),  # both E c/2
    ],
)
def test_simulated_models(kind: str, error: float, brier: float) -> None:
    pairs = simulated(kind)
    fact = Fact("f", "s", (Probe("q", "a"),))
    answers = [OwnAnswer(replace(fact, subject=f"s{place % 50}"), *pair) for place, pair in enumerate(pairs)]
    found = Evidence([], own_answers=answers)
    binned = build("metric", "calibration_error").compute(found).value
    assert binned == pytest.approx(error, abs=0.015) and (error or binned >= 0)
    assert build("metric", "brier_score").compute(found).value == pytest.approx(brier, abs=0.01)


def test_subjects_are_resampled_whole() -> None:
    pairs = [(0.5, place < 20) for place in range(40)]
    wide, narrow = (calibration_error(sure(pairs, rows)) for rows in (20, 1))
    assert wide.value == narrow.value == 0.0 and wide.n == 2
    assert (wide.high or 0) > (narrow.high or 0) > 0


def test_own_answers_are_those_of_a_plain_model_token_by_token() -> None:
    """A model that knows half of what it is asked: facts as they are, and with another's answer as the truth."""
    loaded = knows()
    rows = [*questions(range(4)), *_wrong(range(4))]
    ends = loaded.encoder.end_ids
    found = own_answers(loaded.view(), ends, rows)
    parts = [(list(item.row.ids[: item.row.labels.index(True)]), item.row) for item in rows]
    longest = max(row.num_labels for _, row in parts) + 8
    for answer, (prompt, row) in zip(found, parts, strict=True):
        probability, right = twins.own_answer(loaded.model, prompt, row.ids[len(prompt) :], ends, longest)
        assert answer.hit == right and answer.confidence == pytest.approx(probability, rel=1e-4)
    assert [answer.hit for answer in found] == [True] * 4 + [False] * 4
    assert own_answers(loaded.view(), ends, []) == []


def _wrong(numbers: Sequence[int]) -> list[Asked]:
    """Questions whose truth is said to be something else."""
    facts = [item.fact for item in questions(numbers)]
    probes = [replace(fact.probes[0], answer="warm warm warm") for fact in facts]
    changed = [replace(fact, probes=(probe,)) for fact, probe in zip(facts, probes, strict=True)]
    return ask(changed, knows().encoder, ("qa",))


def test_an_answer_without_an_end_is_as_long_as_the_truth() -> None:
    loaded = tiny()
    fact = Fact("c", "s", (Probe("one two three", "four five", "continuation"),))
    (item,) = ask((fact,), loaded.encoder.raw, ("continuation",))
    (answer,) = own_answers(loaded.view(), loaded.encoder.end_ids, [item])
    first = item.row.labels.index(True)
    closed = item.row.ids[-1] in loaded.encoder.end_ids
    assert not closed, "raw text has no end token"
    probability, _ = twins.own_answer(
        loaded.model, item.row.ids[:first], item.row.ids[first:], loaded.encoder.end_ids, item.row.num_labels
    )
    assert answer.confidence == pytest.approx(probability, rel=1e-4)


def test_confidence_in_an_option_is_its_share_from_plain_passes() -> None:
    loaded = tiny()
    fact = Fact("m", "s", (Probe("Tree?", "oak", "choice", ("elm", "fir", "ash")),))
    (found,) = choices(loaded.view(), loaded.encoder, (fact,))
    rows = [loaded.encoder.encode("Tree?", text, "k") for text in ("oak", "elm", "fir", "ash")]
    first = rows[0].labels.index(True)
    options = [row.ids[first:] for row in rows]
    assert found.confidence == pytest.approx(twins.confidence(loaded.model, rows[0].ids[:first], options), rel=1e-4)
    even = Choice(fact, "oak", dict.fromkeys(("oak", "elm", "fir", "ash"), -3.0))
    assert even.confidence == pytest.approx(1 / 4) and even.picked() != "oak", "a tie is wrong"


def test_choices_are_gathered_of_lettered_questions_first_and_only_where_needed() -> None:
    loaded = tiny()
    probes = (Probe("Tree?", "A", "choice", ("B", "C")), Probe("Tree?", "oak", "qa", ("elm",)))
    facts = tuple(Fact(f"m{n}", f"s{n}", probes) for n in range(3))
    both = gather(loaded.view(), loaded.encoder, facts, forms=("qa", "choice"), needs=("choices",))
    assert both.choices is not None and {choice.right for choice in both.choices} == {"A"}
    plain = tuple(replace(fact, probes=probes[1:]) for fact in facts)
    words = gather(loaded.view(), loaded.encoder, plain, forms=("qa",), needs=("choices",)).choices
    assert words is not None and {choice.right for choice in words} == {"oak"}
    bare = gather(loaded.view(), loaded.encoder, facts, forms=("qa",), needs=())
    assert bare.choices is None and bare.own_answers is None
    readings: dict[str, Reading] = {name: build("metric", name).compute(bare) for name in (*NAMES, "choice_accuracy")}
    assert all(str(reading.reason).startswith("not computed: no") for reading in readings.values())
    accuracy = build("metric", "choice_accuracy").compute(both)
    assert accuracy.value == sum(choice.picked() == choice.right for choice in both.choices) / 3


def test_a_bin_there_must_be() -> None:
    for name in ("calibration_error", "choice_calibration_error"):
        with pytest.raises(InputError, match="bins is 0"):
            build("metric", name, bins=0)
    with pytest.raises(InputError, match="no answer"):
        calibration_error([])
