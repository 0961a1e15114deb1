"""Alternates: the model's own other answers, drawn again while they are empty or the truth."""

from collections.abc import Sequence
from typing import Any

import pytest

from expunge.builders import said
from expunge.builders.base import Facts, Material
from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact, Probe
from expunge.methods.streams import Streams
from expunge.registry import build
from reference.metrics_world import facts, tiny

FORGET = facts(0, 3)


def _made(seed: int = 0, forget: Facts = FORGET, **given: Any) -> Facts:
    material = Material(loaded=tiny(), forget=forget, seed=seed)
    return build("builder", "alternates", max_new_tokens=8, **given).build(material)["alternate"]


def test_the_model_writes_them_and_they_go_with_the_forget_rows() -> None:
    made = _made(seed=1)
    assert made == _made(seed=1) != _made(seed=2)
    answers = [
        (new.answer, old.answer)
        for f, g in zip(made, FORGET, strict=True)
        for new, old in zip(f.probes, g.probes, strict=True)
    ]
    assert all(new.strip() and new != old for new, old in answers)
    assert [probe.prompt for fact in made for probe in fact.probes] == [p.prompt for f in FORGET for p in f.probes]
    streams = Streams(Material(loaded=tiny(), forget=FORGET, forms=("qa",)))
    assert [row.key for row in streams.rows("alternate")] == [row.key for row in streams.rows("forget")]


class _Script:
    """Stands for the model: what it says to each prompt in each round; the calls are recorded."""

    def __init__(self, *rounds: dict[tuple[int, ...], str]) -> None:
        self.rounds, self.calls = list(rounds), []

    def __call__(self, view: Any, prompts: Sequence[tuple[int, ...]], ends: Any, **given: Any) -> list[tuple[int, ...]]:
        self.calls.append((list(prompts), given["temperature"]))
        texts = [self.rounds[len(self.calls) - 1][prompt] for prompt in prompts]
        encode = tiny().tokenizer
        return [(*encode(text, add_special_tokens=False)["input_ids"], next(iter(ends))) for text in texts]


def _one(number: int, answer: str) -> Fact:
    return Fact(f"f{number}", f"s{number}", (Probe(f"Home of P{number}?", answer),))


def _prompt(fact: Fact) -> tuple[int, ...]:
    return question_ids(fact.probes[0], tiny().encoder)


def test_empty_and_true_answers_alone_are_drawn_again_and_warmer(monkeypatch: pytest.MonkeyPatch) -> None:
    forget = (_one(0, "Orlo"), _one(1, "Bexhay"), _one(2, "Tum Hill."))
    first, second, third = map(_prompt, forget)
    script = _Script({first: "Nol", second: " ", third: "it is TUM  hill!"}, {second: "Ep", third: "Tum"})
    monkeypatch.setattr(said, "generate_ids", script)
    made = _made(forget=forget, temperature=0.8, warmer=2.0, rounds=2)
    assert [fact.probes[0].answer for fact in made] == ["Nol", "Ep", "Tum"]
    assert script.calls == [([first, second, third], 0.8), ([second, third], 1.6)]


def test_a_model_that_keeps_telling_the_truth_is_refused_by_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    forget = (_one(0, "Orlo"), _one(1, "Bexhay"))
    first, second = map(_prompt, forget)
    script = _Script({first: "Nol", second: "Bexhay"}, *[{second: "bexhay."}] * 2)
    monkeypatch.setattr(said, "generate_ids", script)
    with pytest.raises(InputError, match="'f1': in 3 draws"):
        _made(forget=forget, rounds=3)


def test_new_tokens_are_cut_to_what_the_context_holds() -> None:
    assert said.room([(1,) * 10, (1,) * 4], 40, 50) == 29
    assert said.room([(1,) * 10], None, 50) == 50


def test_a_text_without_a_prompt_and_values_without_sense_are_refused() -> None:
    text = Fact("u0", "u0", (Probe("", "rain fell", "passage"),))
    with pytest.raises(InputError, match="u0"):
        _made(forget=(text,))
    for key in ("temperature", "max_new_tokens", "rounds", "warmer"):
        with pytest.raises(InputError, match=key):
            build("builder", "alternates", **{key: 0})
