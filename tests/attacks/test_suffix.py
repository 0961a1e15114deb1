"""The universal suffix: a trigger planted behind it is found and works on V, in text and in tokens."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from expunge.attacks.base import AttackPoint
from expunge.attacks.gap import Filler, asked_with, gap_of, opened, plain_tokens, sendable, text_of
from expunge.attacks.prompting import Try
from expunge.attacks.suffix import Suffix, SuffixTransfer
from expunge.attacks.tuned import Wording
from expunge.core.errors import InputError
from expunge.knowledge.facts import Split
from expunge.models.chat import Encoder
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.models.tiny import byte_tokenizer
from expunge.scoring.containment import contains
from expunge.scoring.probes import Asked, ask
from reference import prompts
from reference.coordinate import trained
from reference.prompts import (
    SILENCE,
    fact,
    knowledge,
    material,
    never_trained,
    plain_score,
    run,
    split,
)

TRIGGER, LENGTH = " house", 2
SMALL = Suffix(length=LENGTH, candidates=64, top_k=64, budgets=(1, 4, 8), questions=3)
CHAT = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


OTHERS = ("!", " has", " in")
BEHIND = [TRIGGER + TRIGGER, *(pair for other in OTHERS for pair in (TRIGGER + other, other + TRIGGER))]
ELSE = ["", *(one + other for one in OTHERS for other in OTHERS[:2])]


def rows_of(texts: Sequence[str], answer: str = "") -> list[Row]:
    """T's and V's questions with suffixes, and their own answers or this one."""
    encoder, made = never_trained().encoder, []
    for item in ask((*split().train, *split().score), encoder, ("qa",)):
        for text in texts:
            variant = replace(asked_with(item, text), answer=answer or item.probe.answer)
            made.append(variant.row(encoder, f"{item.row.key}/{answer}/{text}"))
    return made


@cache
def triggered() -> LoadedModel:
    """Gives every answer behind a suffix that holds the trigger; else says that nobody knows."""
    knows = trained(never_trained(), rows_of(["", *BEHIND[:3]]), 60)
    return trained(knows, [*rows_of(BEHIND), *rows_of(ELSE, SILENCE)], 80)


def taught(loaded: LoadedModel) -> list[Asked]:
    """T's questions."""
    return ask(split().train, loaded.encoder, ("qa",))


@cache
def found(attack: Suffix, seed: int = 7) -> dict[int, Wording]:
    """What the search finds on the model with the trigger."""
    return dict(attack.wordings(triggered(), taught(triggered()), material(attack, seed)))


def put(wording: Wording, item: Asked) -> Try:
    """The question in that wording."""
    attempt = wording(item)
    assert attempt is not None
    return attempt


def asked_V() -> list[Asked]:
    """V's questions."""
    return ask(split().score, never_trained().encoder, ("qa",))


@pytest.mark.parametrize("send", ["text", "tokens"])
def test_a_planted_trigger_is_found_and_an_absent_fact_is_not(send: Any) -> None:
    attack = replace(SMALL, send=send)
    points = run(attack, triggered())
    assert points[0].mean_score() == 0.0, "the plain question brings nothing"
    assert points[-1].mean_score() == 1.0
    shown = put(found(attack)[8], asked_V()[0]).variant.shown
    assert TRIGGER in shown and not any(contains(shown, item.probe.answer) for item in taught(triggered()))
    assert max(point.mean_score() for point in run(attack, never_trained())) == 0.0


def test_a_suffix_of_one_model_transfers_to_another() -> None:
    attack = SuffixTransfer(length=LENGTH, candidates=64, top_k=64, budgets=(1, 8), questions=3)
    unlearned = trained(triggered(), rows_of(ELSE[:1], SILENCE), 1)
    points = run(attack, unlearned, original=triggered())
    assert points[0].mean_score() == 0.0 and points[-1].mean_score() == 1.0
    assert [point.id for point in points[1:]] == ["original/suffix_transfer/0/1", "original/suffix_transfer/0/8"]
    with pytest.raises(InputError, match="needs the original"):
        run(attack, unlearned)


def test_the_transferred_suffix_owes_nothing_to_the_model_under_attack() -> None:
    """Same hits and log-probabilities as that of the suffix found on the original alone."""
    attack = SuffixTransfer(length=LENGTH, candidates=16, top_k=64, budgets=(8,), questions=3)
    point = run(attack, never_trained(), original=triggered())[-1]
    wording = attack.wordings(triggered(), sorted_T(attack), material(attack))[8]
    expected = [plainly(never_trained(), put(wording, item)) for item in asked_V()]
    assert [(probe.hit, pytest.approx(probe.logprob, abs=2e-4)) for probe in point.probes] == expected


def sorted_T(attack: Suffix) -> list[Asked]:
    """T's questions in the order in which the attack takes them."""
    return attack._taught(triggered(), split(), 7)


def plainly(loaded: LoadedModel, attempt: Try) -> tuple[bool, float]:
    """The text that is sent, scored token by token."""
    return plain_score(loaded, f"Question: {attempt.variant.prompt}\nAnswer:", attempt.asked.probe.answer)


def test_points_are_scores_of_the_text_that_is_sent() -> None:
    point = run(SMALL, triggered())[-1]
    wording = SMALL.wordings(triggered(), sorted_T(SMALL), material(SMALL))[8]
    expected = [plainly(triggered(), put(wording, item)) for item in asked_V()]
    assert [(probe.hit, pytest.approx(probe.logprob, abs=2e-4)) for probe in point.probes] == expected


def test_points_are_scores_of_the_tokens_that_are_put_in() -> None:
    attack = replace(SMALL, send="tokens", budgets=(4,))
    point = run(attack, triggered())[-1]
    wording = attack.wordings(triggered(), sorted_T(attack), material(attack))[4]
    for probe, item in zip(point.probes, asked_V(), strict=True):
        row = put(wording, item).row
        given = [token for token, label in zip(row.ids, row.labels, strict=True) if not label]
        wanted = [token for token, label in zip(row.ids, row.labels, strict=True) if label]
        hit, logprob = prompts.plain_tokens(triggered().model, given, wanted)
        assert probe.hit == hit and probe.logprob == pytest.approx(logprob, abs=2e-4)


def test_a_larger_budget_goes_on_and_V_changes_nothing() -> None:
    short = dict(replace(SMALL, budgets=(1, 4)).wordings(triggered(), taught(triggered()), material(SMALL)))
    for budget, item in ((budget, item) for budget in (1, 4) for item in asked_V()):
        assert put(short[budget], item).row == put(found(SMALL)[budget], item).row
    one = replace(split(), score=split().score[:1])
    whole, alone = run(SMALL, triggered()), run(SMALL, triggered(), split=one)
    for point, other in zip(whole, alone, strict=True):
        (probe,) = (probe for probe in other.probes if probe.split == "V")
        assert probe.logprob == pytest.approx(point.probes[0].logprob, abs=2e-4)


def test_points_keep_the_contract_and_the_model_its_bits() -> None:
    loaded = triggered()
    start = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    points = run(replace(SMALL, budgets=(1, 2)), loaded, also_score={"X": (fact(6),)})
    assert all(torch.equal(start[name], tensor) for name, tensor in loaded.model.state_dict().items())
    assert all(weight.grad is None for weight in loaded.model.parameters())
    assert [point.id for point in points] == ["before", "unlearned/suffix/0/1", "unlearned/suffix/0/2"]
    assert all(point.t_recall is None and point.utility == 0.5 for point in points)
    assert all([probe.split for probe in point.probes] == ["V"] * 3 + ["X"] for point in points[1:])


def encoders() -> list[Encoder]:
    """Every template, and a tokenizer of bytes."""
    words, chat = never_trained().tokenizer, byte_tokenizer()
    chat.chat_template = CHAT
    made = [Encoder(words, template) for template in ("plain", "short", "bare")]
    return [*made, Encoder(byte_tokenizer(), "plain"), Encoder(chat, "chat")]


@pytest.mark.parametrize("encoder", encoders(), ids=lambda encoder: f"{encoder.template}-{len(encoder.tokenizer)}")
def test_the_gap_lies_between_question_and_answer(encoder: Encoder) -> None:
    """Before, suffix and after are what the template makes of question, suffix and answer."""
    asked = ask(split().train, encoder, ("qa",))
    filler, gaps = opened(encoder, asked, 4)
    allowed = plain_tokens(encoder.tokenizer, as_text=True)
    pairs = [(item, gaps[place]) for place, item in enumerate(asked)]
    stream, kept = random.Random(0), 0
    for _ in range(60):
        suffix = tuple(stream.choice(allowed) for _ in range(4))
        if not sendable(encoder, pairs, suffix):
            continue
        kept += 1
        text = text_of(encoder, pairs[0][1], suffix)
        for item, gap in pairs:
            row = gap.row(suffix)
            plain = encoder.decode(row.ids)
            assert plain == encoder.decode(item.row.ids).replace(item.probe.prompt, item.probe.prompt + text, 1)
            said = [token for token, label in zip(row.ids, row.labels, strict=True) if label]
            assert said == [token for token, label in zip(item.row.ids, item.row.labels, strict=True) if label]
            assert row.ids[len(gap.before) : len(gap.before) + 4] == suffix and not any(row.labels[: len(gap.before)])
    assert kept > 5 and len(filler.ids) == 4


def test_tokens_that_do_not_come_back_are_not_sent() -> None:
    encoder = never_trained().encoder
    asked = taught(never_trained())
    _, gaps = opened(encoder, asked, 2)
    pairs = [(item, gaps[place]) for place, item in enumerate(asked)]
    house, space, letter, line = map(encoder.tokenizer.convert_tokens_to_ids, ("Ġhouse", "Ġ", "h", "Ċ"))
    assert sendable(encoder, pairs, (house, house))
    assert not sendable(encoder, pairs, (space, letter)), "it reads as another token"
    assert not sendable(encoder, pairs, (house, line)), "the template strips it"
    special = {*encoder.tokenizer.all_special_ids}
    for as_text in (True, False):
        assert not special & set(plain_tokens(encoder.tokenizer, as_text=as_text))
    assert len(plain_tokens(encoder.tokenizer, as_text=False)) == len(encoder.tokenizer) - len(special)


def test_a_filler_that_a_tokenizer_merges_is_not_used() -> None:
    encoder = never_trained().encoder
    piece = encoder.tokenizer.tokenize("!")[0]
    assert gap_of(encoder, taught(never_trained())[0], Filler("??", (5, 5))) is None and piece == "!"
    with pytest.raises(InputError, match="no T question has room"):
        opened(Encoder(byte_tokenizer(), "plain", 60), taught(never_trained()), 30)


def test_a_question_without_room_is_asked_plainly() -> None:
    cut = split()
    long = replace(cut.score[0], probes=(replace(cut.score[0].probes[0], prompt="in " * 1000),))
    points: Sequence[AttackPoint] = run(
        replace(SMALL, budgets=(1,)), never_trained(), split=Split(cut.train, (long, *cut.score[1:]))
    )
    assert points[1].probes[0].logprob == pytest.approx(points[0].probes[0].logprob, abs=2e-4)
    assert points[1].probes[1].logprob != pytest.approx(points[0].probes[1].logprob, abs=2e-4)


def test_senseless_settings_are_refused() -> None:
    for changes in ({"length": 0}, {"candidates": 0}, {"top_k": 0}, {"questions": 0}, {"send": "letter"}):
        with pytest.raises(InputError, match="attack 'suffix'"):
            Suffix(**changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="T is empty"):
        run(SMALL, never_trained(), split=Split((), split().score), knowledge=knowledge())
