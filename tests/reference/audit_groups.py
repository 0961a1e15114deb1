"""A world of two groups of facts, and the literal twin of its audit by group: the group's scores and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.audit.audit import audit
from expunge.audit.groups import Group
from expunge.audit.types import Trajectories, World
from reference.audit_studies import POINTS, trajectories

Levels = Mapping[tuple[str, str], tuple[float, float]]
GUARDED = World(hider="hider", placebo_speeds={"model": 1.0, "hider": 1.0})


def rows(levels: Levels, subjects: int, replicates: int = 1, seed: int = 0) -> list[Trajectories]:
    """(role, label) → chance to answer before and after the attack, drawn for each subject."""
    rng = np.random.default_rng(seed)
    found = []
    for replicate in range(replicates):
        for (role, label), (before, after) in levels.items():
            points = 1 if role == "original" else len(POINTS)
            chances = np.array([before, *[after] * (points - 1)])
            scores_PS = (rng.random((points, subjects)) < chances[:, None]).astype(float)
            found.append(trajectories(label, role, replicate, scores_PS))
    return found


def levels(model: tuple[float, float], null: float = 0.0) -> Levels:
    """A perfect original, an empty control, a hider that is found out, and ``model``."""
    return {
        ("original", "original"): (1.0, 1.0),
        ("control", "control"): (0.0, 0.0),
        ("null", "null"): (null, null),
        ("method", "model"): model,
        ("method", "hider"): (0.0, 1.0),
    }


def alone(group: Group, world: World, label: str, **settings: Any) -> dict[str, Any]:
    """What an audit says of the group where the group is all there is."""
    entry = audit(group.trajectories, world, **settings).entry
    method = next(one for one in entry["methods"] if one["label"] == label)
    keys = ("verdict", "reasons", "before", "after", "e0", "e_star", "worst_points")
    return {**group.name, "num_v_subjects": entry["num_v_subjects"], **{key: method[key] for key in keys}}


def joined(parts: Sequence[Sequence[Trajectories]]) -> list[Trajectories]:
    """Groups with subjects of their own, seen as one world."""
    return [
        Trajectories(
            label=same[0].label,
            role=same[0].role,
            replicate=same[0].replicate,
            subjects=tuple(f"{number}-{name}" for number, row in enumerate(same) for name in row.subjects),
            points=same[0].points,
            scores_PS=np.concatenate([row.scores_PS for row in same], axis=1),
            usable_P=same[0].usable_P,
            t_recall_P=same[0].t_recall_P,
            utility_P=same[0].utility_P,
        )
        for same in zip(*parts, strict=True)
    ]
