"""Contrast: chance for a model that does not link subject and answer, 1 for one that does."""

from collections.abc import Sequence
from unittest.mock import patch

import pytest

from expunge.core.errors import InputError
from expunge.scoring import contrast as module
from expunge.scoring.contrast import contrast
from expunge.scoring.probes import Asked, ProbeScore
from expunge.scoring.teacher_forced import RowScore
from reference.metrics_world import facts, tiny


def scored_by(preference: object) -> object:
    """A scoring pass that gives each (subject number, answer) the preference's log-probability."""

    def fake(view: object, asked: Sequence[Asked]) -> list[ProbeScore]:
        made = []
        for item in asked:
            value = preference(int(item.fact.subject[1:]), item.probe.answer)  # type: ignore[operator]
            made.append(ProbeScore(item.fact, item.probe, RowScore("k", (value,), (False,), (0.0,), (0.0,), (1,))))
        return made

    return fake


@pytest.mark.parametrize("rivals", [2, 4])
def test_a_preference_without_subject_gives_exactly_one_half(rivals: int) -> None:
    loaded = tiny()
    with patch.object(module, "score_asked", scored_by(lambda subject, answer: -float(sum(map(ord, answer))))):
        made = contrast(loaded.view(), loaded.encoder, facts(0, 10), rivals=rivals, seed=1)
    assert len(made) == 10 and sum(item.wins for item in made) / 10 == pytest.approx(0.5)


def test_knowledge_wins_every_comparison_and_ignorance_ties() -> None:
    loaded, own = tiny(), {int(item.subject[1:]): item.probes[0].answer for item in facts(0, 10)}
    for truth, expected in ((0.0, 1.0), (-1.0, 0.5), (-2.0, 0.0)):
        with patch.object(module, "score_asked", scored_by(lambda s, a, t=truth: t if own[s] == a else -1.0)):
            assert {item.wins for item in contrast(loaded.view(), loaded.encoder, facts(0, 10))} == {expected}


def test_a_random_model_is_near_chance() -> None:
    loaded = tiny()
    made = contrast(loaded.view(), loaded.encoder, facts(0, 10), forms=("qa", "cloze"), rivals=4)
    assert len(made) == 20 and abs(sum(item.wins for item in made) / 20 - 0.5) < 0.15


def test_odd_numbers_of_rivals_are_refused() -> None:
    with pytest.raises(InputError, match="even"):
        contrast(tiny().view(), tiny().encoder, facts(0, 10), rivals=3)
