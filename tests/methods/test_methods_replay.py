"""Replay: the student learns what θ₀ says of others and of strangers, and nothing that the forget set says."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge import registry
from expunge.builders.base import Material
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.invented import invented_name
from expunge.methods.undo import corrupted
from expunge.methods.work import Work
from reference.objectives import kl
from reference.stages import SETTINGS, facts, furthest, keeps_its_contract, loaded, unlearned, weights

FEW = {
    "replayed": {"name": "replayed", "num": 12, "max_new_tokens": 8},
    "supposed": {"name": "supposed", "draws": 2, "max_new_tokens": 8},
}


def _named(first: int, last: int) -> tuple[Fact, ...]:
    """Facts whose subjects have two words, which stand in the question."""
    found = []
    for fact, number in zip(facts(first, last), range(first, last), strict=True):
        name = f"{'ABCDEFGHIJ'[number]}da {'KLMNOPQRST'[number]}ok"
        probes = tuple(replace(probe, prompt=f"Where is {name}?") for probe in fact.probes)
        found.append(replace(fact, subject=name, probes=probes))
    return tuple(found)


WORLD = {"forget": _named(0, 4), "retain": _named(6, 9)}


def _spec(inner: Any = "output_matching", **method: Any) -> dict[str, Any]:
    return {"name": "replay", "builders": FEW, "method": {"inner": inner, **method}}


def test_it_keeps_its_contract(tmp_path: Path) -> None:
    keeps_its_contract({**_spec("output_matching+sam"), "train": {"epochs": 2}}, tmp_path, **WORLD)


def test_an_uncorrupted_student_has_nothing_to_learn_but_ignorance() -> None:
    """KL(θ₀‖θ₀) has no gradient; AdamW makes a step of rounding noise at most as long as its rate."""
    alone = {"name": "output_matching", "objective": {"gamma": 0.0}}
    ours, result = unlearned(_spec(alone, alpha=0.0), {**SETTINGS, "lr": 1e-6}, **WORLD)
    assert result.losses[0]["retain_kl"] == pytest.approx(0, abs=1e-6)
    assert furthest(ours, weights(loaded().model)) <= 1e-6 * result.steps * 1.01
    _, asked = unlearned(_spec(alpha=0.0), {**SETTINGS, "lr": 1e-6}, **WORLD)
    assert asked.losses[0]["forget"] > 1e-3


def test_the_true_answers_are_never_read() -> None:
    ours, _ = unlearned(_spec(alpha=0.5), **WORLD)
    others = tuple(
        replace(fact, probes=tuple(replace(probe, answer="nowhere") for probe in fact.probes))
        for fact in WORLD["forget"]
    )
    assert furthest(ours, unlearned(_spec(alpha=0.5), **{**WORLD, "forget": others})[0]) == 0


def test_the_targets_of_a_question_are_what_the_original_says_about_the_invented_name() -> None:
    """The first step's losses are the KL of θ₀ under the other question, and of θ₀ itself, from the corrupted model."""
    seen: list[tuple[Work, dict[str, torch.Tensor], Any]] = []
    inner = Work.train

    def watch(self: Work, objective: Any, **own: Any) -> Any:
        seen.append((self, self.weights(), own["streams"]))
        return inner(self, objective, **own)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "train", watch)
        _, result = unlearned(_spec(alpha=0.3), {**SETTINGS, "batch_size": 64}, **WORLD)
    ((work, start, streams),) = seen
    student, original = loaded().model, loaded().model
    student.load_state_dict({**student.state_dict(), **start})
    asked = {row.key: row for row in work.rows("invented")}
    parts = [_kl(original, asked[row.key], student, row) for row in streams["forget"]]
    literal = float(torch.cat(parts).mean())
    assert result.losses[0]["forget"] == pytest.approx(literal, rel=1e-4)
    assert all(asked[row.key].ids != row.ids for row in streams["forget"])
    with torch.no_grad():
        kept = float(kl(student, original, streams["retain"]))
    assert result.losses[0]["retain_kl"] == pytest.approx(kept, rel=1e-3)


def _answering(text: str, fact: Fact) -> Fact:
    return replace(fact, probes=tuple(replace(probe, answer=text) for probe in fact.probes))


def _kl(teacher: Any, asked: Any, student: Any, own: Any) -> torch.Tensor:
    """KL at each label of ``own``, the teacher being asked ``asked``; row by row, from the plain models."""
    with torch.no_grad():
        old, new = (
            model(torch.tensor([row.ids])).logits[0, :-1].log_softmax(-1)[torch.tensor(row.labels[1:])]
            for model, row in ((teacher, asked), (student, own))
        )
    found: torch.Tensor = (old.exp() * (old - new)).sum(-1)
    return found


def test_only_matrices_are_corrupted_and_only_those_that_are_named() -> None:
    still = {**SETTINGS, "lr": 1e-9}
    start = weights(loaded().model)
    ruined = corrupted(start, 1.0, 1.0, 0)
    for modules, hit in (("", lambda name: True), ("mlp", lambda name: "mlp" in name)):
        ours, _ = unlearned(_spec(alpha=1.0, beta=1.0, modules=modules), still, **WORLD)
        for name, weight in start.items():
            if weight.ndim == 1 or not hit(name):
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
    [
        ({"alpha": 1.1}, "alpha"),
        ({"beta": -1}, "beta"),
        ({"inner": "npo"}, "output_matching"),
        ({"modules": "("}, "modul"),
    ],
)
def test_bad_hyper_parameters_are_refused_by_name(bad: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        registry.build("method", "replay", **bad)


@pytest.mark.parametrize(("builder", "key"), [("replayed", "num"), ("supposed", "draws")])
def test_writing_nothing_is_refused(builder: str, key: str) -> None:
    with pytest.raises(InputError, match=key):
        registry.build("builder", builder, **{key: 0})


def test_an_invented_name_belongs_to_nobody_and_to_its_place() -> None:
    known = ["Ann Berg", "Tom Falk", "Eva Holm", "Solo"]
    made = {invented_name("Ann Berg", known, random.Random(seed)) for seed in range(40)}
    assert made.isdisjoint(known)
    assert made <= {f"{first} {last}" for first in ("Ann", "Tom", "Eva") for last in ("Berg", "Falk", "Holm")}
    with pytest.raises(InputError, match="two words"):
        invented_name("Solo", known, random.Random(0))


def test_the_two_streams_differ_in_the_name_alone() -> None:
    given = Material(loaded=loaded(), seed=1, forms=("qa",), **WORLD)
    made = registry.build("builder", "supposed", draws=2, max_new_tokens=6).build(given)
    assert len(made["supposed"]) == 2 * len(WORLD["forget"])
    for own, asked in zip(made["supposed"], made["invented"], strict=True):
        assert (own.id, own.subject) == (asked.id, asked.subject)
        (mine,), (other,) = own.probes, asked.probes
        assert own.subject in mine.prompt and own.subject not in other.prompt
        assert (mine.answer, mine.form) == (other.answer, other.form)
    nameless = replace(WORLD["forget"][0], probes=(Probe("Where?", "here"),))
    with pytest.raises(InputError, match="does not name"):
        registry.build("builder", "supposed").build(replace(given, forget=(nameless,)))


def _material(forget: tuple[Fact, ...]) -> Material:
    return Material(loaded=loaded(), forget=forget, seed=1)


def _built(given: Material) -> tuple[Fact, ...]:
    made: tuple[Fact, ...] = registry.build("builder", "replayed", num=12, max_new_tokens=8).build(given)["replayed"]
    return made
