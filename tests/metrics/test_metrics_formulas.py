"""Metrics against their literal twins and against cases worked out by hand."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.knowledge.facts import Probe
from expunge.metrics.base import Evidence, Metric, Reading
from expunge.metrics.containment import contains
from expunge.registry import build, entries
from expunge.scoring.contrast import Contrast
from expunge.scoring.divergence import RowKL
from expunge.scoring.probes import ProbeScore
from expunge.scoring.teacher_forced import RowScore
from reference import metrics_twins as twins
from reference.metrics_world import fact

END = 2
HITS = st.lists(st.booleans(), min_size=1, max_size=7)


def scored(hits: Sequence[bool], *, subject: int = 0, ended: bool = True, logprob: float = -1.0) -> ProbeScore:
    """A probe's score with the given hits; the last target is the end token where ``ended``."""
    size = len(hits)
    targets = (*(7,) * (size - 1), END if ended else 7)
    owner = fact(subject)
    flat = (logprob,) * size
    return ProbeScore(owner, owner.probes[0], RowScore("k", flat, tuple(hits), flat, flat, targets))


def reading(name: str, *items: ProbeScore, **more: object) -> Reading:
    """A metric's reading of the given scores."""
    metric: Metric = build("metric", name)
    return metric.compute(Evidence(items, end_ids=frozenset({END}), **more))  # type: ignore[arg-type]


def said(name: str, answer: str, *texts: str | None) -> Reading:
    """A generation metric on one answer and several texts."""
    owner = fact(0, answer)
    items = [ProbeScore(owner, owner.probes[0], scored([True]).score) for _ in texts]
    return reading(name, *items, generations=texts)


@given(HITS)
def test_extraction_strength_is_the_twin_without_the_end_token(hits: list[bool]) -> None:
    own = twins.extraction_strength(hits)
    assert reading("extraction_strength", scored([*hits, False])).value == pytest.approx(own)
    assert reading("extraction_strength", scored(hits, ended=False)).value == pytest.approx(own)
    assert reading("exact_memorization", scored([*hits, False])).value == pytest.approx(sum(hits) / len(hits))
    assert reading("exact_memorization", scored(hits, ended=False)).value == pytest.approx(sum(hits) / len(hits))


@given(HITS)
def test_the_parity_forms_are_the_peers_loop(hits: list[bool]) -> None:
    own = twins.extraction_strength_open_unlearning(hits)
    assert reading("extraction_strength_open_unlearning", scored(hits, ended=False)).value == pytest.approx(own)
    exact = reading("exact_memorization_open_unlearning", scored(hits, ended=False)).value
    assert exact == (pytest.approx(sum(hits[:-1]) / (len(hits) - 1)) if len(hits) > 1 else None)


def test_the_quirk_and_the_sound_form_differ_where_nothing_matches() -> None:
    nothing = scored([False, False, False, False, True])
    assert reading("extraction_strength", nothing).value == 0.0
    assert reading("extraction_strength_open_unlearning", nothing).value == pytest.approx(1 / 4)


def test_an_answer_of_the_end_token_alone_is_not_judged() -> None:
    assert reading("extraction_strength", scored([True])).value is None
    assert reading("exact_memorization", scored([True]), scored([True, True])).n == 1


def test_greedy_match_and_probability() -> None:
    items = (scored([True, True]), scored([True, False], subject=1, logprob=math.log(0.25)))
    assert reading("greedy_match", *items).value == pytest.approx(0.5)
    assert reading("probability", *items).value == pytest.approx((math.exp(-1) + 0.25) / 2)


WORDS = st.lists(st.sampled_from(["cat", "cats", "running", "run", "a", "Zed's", "7"]), min_size=1, max_size=6)


@given(WORDS, WORDS)
def test_rouge_is_the_textbook_recall(answer: list[str], text: list[str]) -> None:
    one, other = " ".join(answer), " ".join(text)
    assert said("rouge_l_recall", one, other).value == pytest.approx(twins.rouge_l_recall(one, other))


def test_rouge_does_not_judge_an_answer_it_cannot_read() -> None:
    assert said("rouge_l_recall", "東京", "東京").value is None
    assert said("rouge_l_recall", "Orlo", None, "in Orlo").value == 1.0


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("He is Anthony  Mark.", "anthony mark", True),
        ("the Market", "Mark", False),
        ("Mark's", "Mark", True),
        ("Au, gold", " Au.", True),
        ("", "x", False),
        ("C++ it is", "++", True),
        ("100", "10", False),
    ],
)
def test_containment_is_of_whole_words(text: str, answer: str, found: bool) -> None:
    assert contains(text, answer) is found
    assert said("containment", answer, text).value == float(found)


def test_retain_kl_weights_tokens() -> None:
    items = (scored([True]), scored([True] * 3, subject=1))
    kls = (RowKL("a", (4.0,)), RowKL("b", (0.0, 0.0, 0.0)))
    assert reading("retain_kl", *items, divergences=kls).value == pytest.approx(1.0)


def test_contrast_is_the_mean_share_of_wins() -> None:
    wins = [Contrast(fact(i), Probe("q", "a"), share) for i, share in enumerate((1.0, 0.5, 0.25))]
    assert build("metric", "contrast").compute(Evidence(contrasts=wins)).value == pytest.approx(1.75 / 3)


def test_a_missing_need_is_a_reason_and_never_a_number() -> None:
    for entry in entries("metric"):
        found = entry.factory().compute(Evidence())
        assert found.value is None and found.reason.startswith("not computed: ") and found.as_dict()["reason"]
    told = reading("contrast", reasons=(("contrasts", "only 3 rows"),))
    assert told.reason == "not computed: only 3 rows."


def test_evidence_of_unequal_length_is_refused() -> None:
    with pytest.raises(InputError, match="2 generations for 1 rows"):
        reading("containment", scored([True]), generations=["a", "b"])


def test_every_metric_declares_itself() -> None:
    for entry in entries("metric"):
        metric = entry.factory()
        assert metric.direction in ("lower", "higher") and metric.range[0] < metric.range[1] and metric.needs
        assert metric.never_trained is None or metric.range[0] <= metric.never_trained <= metric.range[1]
        assert len(entry.summary) > 20
