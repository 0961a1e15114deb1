"""Membership inference as a readout: six scores against literal twins, the curve, and what must hold by definition."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.metrics import membership_sides
from expunge.metrics.base import Evidence, Reading, Value
from expunge.metrics.evidence import gather
from expunge.metrics.membership_attacks import ATTACKS
from expunge.metrics.named import named
from expunge.metrics.relative import privleak_against, relative_against
from expunge.metrics.roc import _draws, roc, tpr_reading
from expunge.metrics.separation import auc, tpr_at_fpr
from expunge.models.load import LoadedModel
from expunge.objectives.cross_entropy import CrossEntropy
from expunge.registry import build
from expunge.scoring.probes import Asked, ProbeScore
from expunge.training.config import TrainConfig
from expunge.training.loop import train
from reference import membership_readout as twins
from reference import tofu_suite
from reference.readout import asked, copied, fact, never_trained

MEMBERS, OTHERS = tuple(map(fact, range(8))), tuple(map(fact, range(8, 16)))


@cache
def taught() -> LoadedModel:
    """A model that was taught the members alone."""
    loaded = copied(never_trained())
    rows = [item.row for item in asked(range(8))]
    config = TrainConfig(batch_size=8, seed=0, precision="fp32", lr=5e-3, steps=25)
    train(loaded.view(), {"teach": rows}, CrossEntropy(), config=config)
    return loaded


def evidence(loaded: LoadedModel, control: LoadedModel | None = None) -> Evidence:
    """Members beside others, in the first form."""
    never = None if control is None else control.view()
    return gather(loaded.view(), loaded.encoder, MEMBERS, forms=("qa",), needs=(), control=never, untaught=OTHERS)


@cache
def readings() -> dict[str, Reading]:
    """Every reading of the taught model beside the one that never was."""
    found = evidence(taught(), never_trained())
    return {name: build("metric", name).compute(found) for name in ATTACKS}


@pytest.mark.parametrize("score", twins.SCORES)
def test_each_score_is_read_as_its_twin_reads_it(score: str) -> None:
    members, others = (twins.scores(taught(), never_trained(), facts, score) for facts in (MEMBERS, OTHERS))
    base = [twins.scores(never_trained(), never_trained(), facts, score) for facts in (MEMBERS, OTHERS)]
    if score == "reference":
        base = [[0.0] * 8, [0.0] * 8]
    own, never = tofu_suite.auc(members, others), tofu_suite.auc(*base)
    assert readings()[f"mia_{score}_auc"].value == pytest.approx(own)
    assert readings()[f"mia_{score}_tpr1"].value == pytest.approx(tofu_suite.tpr_at_fpr(members, others, 0.01))
    assert readings()[f"mia_{score}_tpr5"].value == pytest.approx(tofu_suite.tpr_at_fpr(members, others, 0.05))
    assert readings()[f"mia_{score}_privleak"].value == pytest.approx(100 * (never - own) / (1 - never), abs=1e-6)
    assert readings()[f"mia_{score}_relative_auc"].value == pytest.approx(100 * (own - never) / never, abs=1e-6)


def test_a_taught_model_gives_its_facts_away_and_every_declaration_holds() -> None:
    for name, reading in readings().items():
        entry = ATTACKS[name]
        assert reading.value is not None and entry.range[0] <= reading.value <= entry.range[1], name
        assert entry.never_trained is not None and entry.costly and entry.forget_only, name
        towards = reading.value - entry.never_trained
        assert towards > 0 if entry.direction == "lower" else towards < 0, name
    assert (readings()["mia_loss_auc"].value or 0) > 0.9


def test_the_control_itself_is_the_zero_of_both_orientations() -> None:
    found = evidence(never_trained(), copied(never_trained()))
    for score in twins.SCORES:
        for way in ("privleak", "relative_auc"):
            reading = build("metric", f"mia_{score}_{way}").compute(found)
            assert (reading.value, reading.low, reading.high) == (0.0, 0.0, 0.0), (score, way)
    assert build("metric", "mia_reference_auc").compute(found).value == 0.5


def test_all_thirty_readings_take_one_pass_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The members' scores are at hand; the others are scored once, and each side once under the control."""
    rows: list[int] = []
    norms: list[int] = []
    plain, slope = membership_sides.score_asked, membership_sides.gradient_norms

    def counted(view: object, items: Sequence[Asked]) -> list[ProbeScore]:
        rows.append(len(items))
        return plain(view, items)  # type: ignore[arg-type]

    monkeypatch.setattr(membership_sides, "score_asked", counted)
    monkeypatch.setattr(
        membership_sides,
        "gradient_norms",
        lambda view, items, ends: norms.append(len(items)) or slope(view, items, ends),
    )
    found = evidence(taught(), never_trained())
    assert not rows, "nothing is scored before a metric asks"
    for name in ATTACKS:
        build("metric", name).compute(found)
    assert rows == [8, 8, 8] and norms == [16, 16]


def test_what_is_missing_is_said() -> None:
    bare = replace(evidence(taught()), membership=None)
    assert "no facts that no model was taught" in str(build("metric", "mia_loss_auc").compute(bare).reason)
    alone = evidence(taught())
    assert build("metric", "mia_loss_auc").compute(alone).value == readings()["mia_loss_auc"].value
    for name in ("mia_reference_auc", "mia_reference_tpr5", "mia_loss_privleak", "mia_loss_relative_auc"):
        assert "no model that never knew" in str(build("metric", name).compute(alone).reason), name


def values(numbers: Sequence[float], rows: int = 1) -> list[Value]:
    return [Value(f"s{index // rows}", number) for index, number in enumerate(numbers)]


NUMBERS = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9)


@given(NUMBERS, NUMBERS)
def test_the_area_under_the_curve_is_the_auc_and_the_rates_are_on_it(members: list[float], others: list[float]) -> None:
    own, rest = values(members), values(others)
    points = roc(own, rest)
    assert points[0] == (0.0, 0.0) and points[-1] == (1.0, 1.0) and list(points) == sorted(points)
    assert twins.area(points) == pytest.approx(auc(own, rest, resamples=10).value)
    for limit in (0.0, 0.01, 0.25, 0.5, 1.0):
        assert max(tpr for fpr, tpr in points if fpr <= limit + 1e-9) == pytest.approx(tpr_at_fpr(own, rest, limit))


@given(NUMBERS, NUMBERS, st.sampled_from([0.0, 0.01, 0.2, 0.5]))
def test_every_resample_is_the_rate_of_its_rows(members: list[float], others: list[float], fpr: float) -> None:
    own, rest = values(members, 2), values(others, 2)
    pairs = [[(item.subject, item.value) for item in side] for side in (own, rest)]
    assert _draws(own, rest, fpr, 3, 12) == pytest.approx(twins.tpr_draws(*pairs, fpr, 3, 12))
    found = tpr_reading(own, rest, fpr, resamples=20)
    assert found.value == pytest.approx(tpr_at_fpr(own, rest, fpr))
    assert found.low is not None and found.high is not None and 0 <= found.low <= found.value <= found.high <= 1


def test_over_unlearning_has_the_other_sign_and_a_perfect_control_no_measure() -> None:
    stream = np.random.default_rng(0)
    even, low = (values(stream.normal(shift, 1, 40).tolist()) for shift in (0, -2))
    high = values(stream.normal(2, 1, 40).tolist())
    leaks, hides = ((low, even), (high, even))
    for member, sign in ((leaks, 1), (hides, -1)):
        own, other = privleak_against(member, (even, even)), relative_against(member, (even, even))
        assert own.value is not None and other.value is not None
        assert np.sign(own.value) == -sign and np.sign(other.value) == sign
        assert own.low is not None and own.high is not None and own.low < own.value < own.high
    sure = (values([0.0] * 3), values([1.0] * 3))
    assert "divides by zero" in str(privleak_against(leaks, sure).reason)
    assert "divides by zero" in str(relative_against(leaks, sure[::-1]).reason)


def test_patterns_name_what_they_match() -> None:
    assert len(named(["mia_*"])) == 30 == len(ATTACKS)
    assert named(["loss", "mia_loss_tpr?"]) == ("loss", "mia_loss_tpr1", "mia_loss_tpr5")
    for wrong in ("mia_*_nothing", "mia_loss_aux"):
        with pytest.raises(InputError, match="mia_"):
            named([wrong])
