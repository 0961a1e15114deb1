"""Replay: the student learns from θ₀ what θ₀ writes of others, and nothing from the forget set."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge import registry
from expunge.builders.base import Material
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.methods.undo import corrupted
from expunge.methods.work import Work
from reference.objectives import kl
from reference.stages import SETTINGS, facts, furthest, keeps_its_contract, loaded, material, unlearned, weights

FEW = {"replayed": {"name": "replayed", "num": 12, "max_new_tokens": 8}}


def _spec(**method: Any) -> dict[str, Any]:
    return {"name": "replay", "builders": FEW, "method": {"inner": None, **method}}


def test_it_keeps_its_contract(tmp_path: Path) -> None:
    keeps_its_contract({**_spec(inner="npo"), "train": {"epochs": 2}}, tmp_path)


def test_an_uncorrupted_student_of_itself_has_nothing_to_learn() -> None:
    """KL(θ₀‖θ₀) has no gradient; AdamW makes a step of rounding noise at most as long as its rate."""
    ours, result = unlearned(_spec(alpha=0.0), {**SETTINGS, "lr": 1e-6})
    assert result.losses[0]["replayed_distil"] == pytest.approx(0, abs=1e-6)
    assert result.losses[0]["retain_distil"] == pytest.approx(0, abs=1e-6)
    assert furthest(ours, weights(loaded().model)) <= 1e-6 * result.steps * 1.01


def test_what_the_forget_facts_say_changes_nothing() -> None:
    """Without an inner method only the subjects' names are read, to leave them out."""
    ours, _ = unlearned(_spec(alpha=0.5))
    others = tuple(replace(fact, probes=(Probe("Where?", "nowhere", "qa"),)) for fact in facts(0, 4))
    assert furthest(ours, unlearned(_spec(alpha=0.5), forget=others)[0]) == 0


def test_the_teacher_is_the_original_and_the_student_the_corrupted_unlearned_model() -> None:
    given = material()
    seen: list[dict[str, torch.Tensor]] = []
    inner = Work.train

    def watch(self: Work, objective: Any, **own: Any) -> Any:
        seen.append(self.weights())
        return inner(self, objective, **own)

    settings = {**SETTINGS, "epochs": 8, "lr": 1e-2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "train", watch)
        distil = {"epochs": 30, "lr": 3e-3}
        ours, _ = unlearned(_spec(inner="npo", alpha=0.3, distil=distil), settings)
    hidden, _ = unlearned("npo", settings)
    _, student = seen
    for name, start in student.items():
        if start.ndim == 1:
            torch.testing.assert_close(start, hidden[name], rtol=0, atol=0)
        else:
            noise = (start - 0.7 * hidden[name]) / (0.3 * 0.1)
            bound = (6 / sum(start.shape)) ** 0.5
            assert 0.9 * bound < float(noise.abs().max()) <= 1.001 * bound
    rows = Work(streams=_streams(given), settings=settings, seed=3).rows("retain")
    original, models = loaded().model, {}
    for name, state in {"student": student, "hidden": hidden, "ours": ours}.items():
        models[name] = loaded().model
        models[name].load_state_dict({**models[name].state_dict(), **state})
    with torch.no_grad():
        far = {name: float(kl(model, original, rows)) for name, model in models.items()}
    assert far["ours"] < 0.5 * min(far["student"], far["hidden"])


def test_only_matrices_are_corrupted() -> None:
    ours, _ = unlearned(_spec(alpha=1.0, beta=1.0), {**SETTINGS, "lr": 1e-9})
    start = weights(loaded().model)
    ruined = corrupted(start, 1.0, 1.0, 0)
    for name, weight in start.items():
        if weight.ndim == 1:
            torch.testing.assert_close(ours[name], weight)
        else:
            assert float(ours[name].norm()) == pytest.approx(float(ruined[name].norm()), rel=0.2)
            assert abs(float(torch.corrcoef(torch.stack([ours[name].flatten(), weight.flatten()]))[0, 1])) < 0.2


def test_the_replayed_text_names_no_forgotten_subject() -> None:
    given = _material(())
    texts = [fact.probes[0].answer for fact in _built(given)]
    words = [word for text in texts for word in text.split() if len(word) >= 4]
    common = max(set(words), key=words.count)
    assert _built(given) == _built(given)
    named = [fact.probes[0].answer for fact in _built(_material((Fact("x", common.upper(), (Probe("?", "y"),)),)))]
    assert not any(common.casefold() in text.casefold() for text in named)
    answered = [fact.probes[0].answer for fact in _built(_material((Fact("x", "nobody", (Probe("?", common),)),)))]
    assert answered == texts


@pytest.mark.parametrize(
    ("bad", "word"),
    [({"alpha": 1.1}, "alpha"), ({"beta": -1}, "beta"), ({"inner": "np"}, "npo"), ({"distil": {"lrr": 1}}, "distil")],
)
def test_bad_hyper_parameters_are_refused_by_name(bad: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        registry.build("method", "replay", **bad)


def test_writing_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="num"):
        registry.build("builder", "replayed", num=0)


def _material(forget: tuple[Fact, ...]) -> Material:
    return Material(loaded=loaded(), forget=forget, seed=1)


def _built(given: Material) -> tuple[Fact, ...]:
    made: tuple[Fact, ...] = registry.build("builder", "replayed", num=12, max_new_tokens=8).build(given)["replayed"]
    return made


def _streams(given: Material) -> Any:
    from expunge.methods.streams import Streams

    return Streams(given)
