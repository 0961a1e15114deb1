"""What the audit writes, the report reads: the two meet here without a model."""

from pathlib import Path

import numpy as np
import pytest

from expunge.audit.audit import assemble, audit
from expunge.audit.types import Role, Trajectories, World
from expunge.report import build, load
from report.make_study import make_study, world

POINTS = ("before", "qa/full/1e-05/1", "qa/full/1e-05/4")


def simulated(label: str, role: Role, levels: tuple[float, float, float]) -> Trajectories:
    """Eight subjects whose scores lie evenly around ``levels``."""
    spread = np.linspace(-0.05, 0.05, 8)
    subjects = tuple(f"s{number}" for number in range(8))
    scores = np.clip(np.array(levels)[:, None] + spread, 0, 1)
    ones = np.ones(len(POINTS))
    return Trajectories(label, role, 0, subjects, POINTS, scores, ones > 0, ones, ones)


@pytest.mark.parametrize("controlled", [True, False])
def test_a_real_audit_becomes_a_report(tmp_path: Path, controlled: bool) -> None:
    rows = [simulated("original", "original", (0.9, 0.9, 0.9)), simulated("npo", "method", (0.05, 0.4, 0.7))]
    if controlled:
        rows += [simulated("control", "control", (0.05, 0.06, 0.1)), simulated("null", "null", (0.05, 0.06, 0.1))]
    found = audit(rows, World(label="people", knowledge="people", seeds=(0,)), resamples=50)
    run = make_study(tmp_path, [world("people", [0])])
    make_study(run, [assemble([found])["worlds"][0]])
    study = load.study(run)
    assert study.worlds[0].methods[0].verdict == found.verdicts()["npo"]
    assert (study.worlds[0].control.after is None) is not controlled
    assert "npo" in build(run).read_text()
