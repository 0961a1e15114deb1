"""Simulated studies with known truth: two never-trained models, or one with a planted excess recovery.

A subject's score is the mean of three facts, each known or not. Whether a fact is answered at an attack point rests
on the point (two rates × five steps), the subject, the world (shared by all models of a replicate), the model's own
training seed, and a fact's own ease, which lasts over the trajectory.
"""

import numpy as np

from expunge.audit.types import Trajectories

FACTS = 3
POINTS = ("before", *(f"qa/full/{lr:g}/{steps}" for lr in (1e-5, 1e-4) for steps in (1, 2, 4, 8, 16)))


def trajectories(label, role, replicate, scores_PS, points=POINTS, t_recall=1.0, utility=1.0, variant=""):
    """Trajectories with given scores and otherwise nothing to object to."""
    num = len(scores_PS)
    subjects = tuple(f"w{replicate}-s{index}" for index in range(scores_PS.shape[1]))
    measured = np.full(num, float(t_recall)), np.full(num, float(utility))
    return Trajectories(
        label, role, replicate, subjects, points[:num], scores_PS, np.ones(num, dtype=bool), *measured, variant
    )


def ease(base):
    """Log-odds by point: nothing before, two ramps of different height."""
    return base - 3.0 + np.array([0, *np.linspace(0, 1.0, 5), *np.linspace(0, 2.2, 5)])


def study(rng, subjects, replicates, *, base=0.0, model_sd=0.0, planted=0.0):
    """Rows of original, control and a second never-trained model which knows ``planted`` of the facts in secret.

    ``model_sd`` is the spread, in log-odds, of a model's own replicate effect: it cannot be seen with one replicate.
    Planted facts answer as the original does from the middle of the stronger ramp on, so E there is ``planted``.
    """
    rows = []
    for replicate in range(replicates):
        shift_S = rng.normal(0, 0.8, subjects) + rng.normal(0, 0.4)
        original = rng.random((subjects, FACTS)) < 0.93
        control, model = (_never(rng, ease(base), shift_S, model_sd) for _ in range(2))
        hidden = rng.random((subjects, FACTS)) < planted
        ramp = np.array([0, *np.linspace(0, 1, 5), *np.linspace(0.2, 1, 5)])
        shown = hidden & (rng.random((subjects, FACTS)) < ramp[:, None, None])
        model = np.where(shown, original, model)
        rows.append(trajectories("original", "original", replicate, original.mean(-1)[None]))
        rows.append(trajectories("control", "control", replicate, control.mean(-1)))
        rows.append(trajectories("model", "method", replicate, model.mean(-1)))
    return rows


def _never(rng, ease_P, shift_S, model_sd):
    shape = len(ease_P), len(shift_S), FACTS
    log_odds = ease_P[:, None, None] + shift_S[:, None] + rng.normal(0, model_sd)
    return log_odds + rng.logistic(0, 0.8, shape[1:]) + rng.logistic(0, 0.6, shape) > 0
