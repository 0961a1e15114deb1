"""One method beside another: what the models of a replicate share cancels, and nothing else does."""

import numpy as np
import pytest

from expunge.audit.audit import audit
from expunge.audit.beside import beside
from expunge.audit.table import Table
from expunge.audit.types import World
from reference.audit_recovery import excess
from reference.audit_studies import POINTS, trajectories

SUBJECTS, REPLICATES = 40, 3


def _rows(rng, levels, shifts, label):
    """A method that answers, under any attack, a share of its subjects which the replicate shifts."""
    scores = []
    for shift in shifts:
        knows_S = rng.random(SUBJECTS) < levels + shift
        scores.append(np.repeat(knows_S[None].astype(float), len(POINTS), axis=0))
    return [trajectories(label, "method", r, scores_PS) for r, scores_PS in enumerate(scores)]


def _study(rng, levels, spread=0.15):
    """Original knows all, control nothing; the methods of a replicate share whether its world is easy to forget."""
    shifts = rng.normal(0, spread, REPLICATES)
    ends = [("original", "original", np.ones((1, SUBJECTS))), ("control", "control", np.zeros((11, SUBJECTS)))]
    rows = [trajectories(*end[:2], replicate, end[2]) for end in ends for replicate in range(REPLICATES)]
    return [*rows, *(row for label, level in levels.items() for row in _rows(rng, level, shifts, label))]


def _table(rows, resamples=200):
    return Table(rows, resamples=resamples, seed=1, usable_only=False)


def _beside(table, one="one", other="other"):
    ends = table.rows("control", "control"), table.rows("original", "original")
    return beside(table, table.rows("method", one), table.rows("method", other), *ends)


def _mean(row):
    return float(row.scores_PS[0].mean())


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_difference_of_the_two_excess_recoveries(seed):
    table = _table(_study(np.random.default_rng(seed), {"one": 0.3, "other": 0.6}))
    values = [[_mean(row) for row in table.rows("method", label).values()] for label in ("one", "other")]
    twins = [excess(each, [0.0] * REPLICATES, [1.0] * REPLICATES) for each in values]
    found, back = _beside(table), _beside(table, "other", "one")
    assert found.value == pytest.approx(twins[0] - twins[1])
    assert back.value == pytest.approx(-found.value)
    assert found.low < found.value < found.high


def test_two_names_of_one_model_are_no_different():
    rows = _study(np.random.default_rng(0), {"one": 0.5})
    twins = [trajectories("other", "method", row.replicate, row.scores_PS) for row in rows if row.label == "one"]
    found = _beside(_table([*rows, *twins]))
    assert found.value == 0 and found.contains(0.0)


def test_nothing_recovered_by_either_is_no_certainty():
    found = _beside(_table(_study(np.random.default_rng(0), {"one": 0.0, "other": 0.0}, spread=0.0)))
    assert found.value == 0 and 0.01 < found.high < 0.05, "three of 120 would have been missed"


def test_what_replicates_share_cancels_and_the_interval_still_covers():
    """Intervals side by side overlap where worlds differ; the paired one holds the truth as often as it should."""
    rng, held, apart, below = np.random.default_rng(5), 0, 0, 0
    for _ in range(150):
        table = _table(_study(rng, {"one": 0.35, "other": 0.65}))
        found = _beside(table)
        entry = audit([row for rows in table._rows.values() for row in rows.values()], resamples=100).as_dict()
        single = {method["label"]: method["e_star"] for method in entry["methods"]}
        held += found.low <= -0.3 <= found.high
        apart += single["one"]["high"] < single["other"]["low"]
        below += found.high < 0
    assert held >= 138, "92 % of 150"
    assert below >= 120 and apart <= 60


def test_without_a_shared_replicate_or_a_gap_there_is_none():
    rows = _study(np.random.default_rng(0), {"one": 0.3, "other": 0.6})
    cut = [row for row in rows if (row.label, row.replicate) not in {("one", 0), ("other", 1), ("other", 2)}]
    assert _beside(_table(cut)) is None
    known = [trajectories("control", "control", r, np.full((11, SUBJECTS), 0.8)) for r in range(REPLICATES)]
    assert _beside(_table([*known, *(row for row in rows if row.role != "control")])) is None


def test_the_audit_puts_every_method_beside_its_baseline_but_that_itself():
    rows = _study(np.random.default_rng(0), {"one": 0.3, "other": 0.6, "third": 0.5})
    plain = audit(rows, World(), resamples=50).as_dict()["methods"]
    assert not any("beside" in method for method in plain)
    world = World(baselines={"one": "other", "third": "other"})
    found = {method["label"]: method.get("beside") for method in audit(rows, world, resamples=50).as_dict()["methods"]}
    assert found["other"] is None and found["one"]["label"] == "other"
    assert found["one"]["e_star"]["value"] == pytest.approx(_beside(_table(rows)).value)
    assert found["third"]["e_star"]["value"] > found["one"]["e_star"]["value"]
