"""Certificates: what they restore, from whom they restore nothing, and that they leave both models alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from expunge import registry
from expunge.certificates import same_people as reminding
from expunge.certificates.adapter import adapted
from expunge.certificates.base import Certificate, certificate_of, recall
from expunge.certificates.form import Form
from expunge.certificates.rescaled import levelled
from expunge.certificates.same_people import held_back
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe, Split
from expunge.knowledge.worlds.people import people
from expunge.models.load import LoadedModel
from expunge.models.tiny import tiny_llama
from reference import hiding as made

CERTIFICATES = {(entry if isinstance(entry, str) else entry["name"]): entry for *_, entry in made.HIDERS.values()}
"""One of every kind, as the hiders' tests use it."""
HIDER = {"same_people": "shallow", "quantised": "fragile"}


def restored(certificate: Any, candidate: LoadedModel, split: Split | None = None) -> float:
    """What a certificate says of a candidate."""
    made_of = certificate if isinstance(certificate, Certificate) else certificate_of(certificate)
    return made_of.restored(candidate, made.knows(), made.world(), split or made.split(), seed=0)


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    """A copy, by name."""
    return {name: weight.detach().clone() for name, weight in loaded.model.named_parameters()}


def test_every_certificate_is_tried() -> None:
    assert {entry.name for entry in registry.entries("certificate")} == set(CERTIFICATES)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_who_never_knew_gets_no_certificate(name: str) -> None:
    assert restored(CERTIFICATES[name], made.never()) < 0.2


@pytest.mark.parametrize("name", CERTIFICATES)
def test_both_models_are_left_bit_for_bit(name: str) -> None:
    both = made.hidden(HIDER.get(name, name)), made.knows()
    before = [weights(loaded) for loaded in both]
    short = {"rates": (1e-4,), "steps": (1,)}
    quick = {
        "same_people": {"name": name, **short},
        "rescaled": {"name": name, "inner": {"name": "same_people", **short}},
    }
    restored(quick.get(name, CERTIFICATES[name]), both[0])
    for loaded, start in zip(both, before, strict=True):
        assert all(torch.equal(weight, start[name]) for name, weight in weights(loaded).items())
        assert all(weight.grad is None and weight.requires_grad for weight in loaded.model.parameters())


@pytest.mark.parametrize("name", ["trigger", "form", "quantised", "adapter"])
def test_what_was_hidden_another_way_is_not_certified(name: str) -> None:
    assert restored(CERTIFICATES[name], made.hidden("again")) < 0.2


def test_what_hides_nothing_is_restored_in_full() -> None:
    assert restored({**made.REMINDED, "steps": (1,)}, made.knows()) == 1.0
    assert restored({"name": "adapter", "rank": 1}, made.knows()) == 1.0


def test_the_share_is_of_what_the_original_answers() -> None:
    """An original that answers half of V: the same recall counts twice, and no share is above 1."""
    T, V = made.split().train, made.split().score
    lying = tuple(replace(fact, probes=(replace(fact.of_form("qa")[0], answer="nothing"),)) for fact in V)
    half = Split(T, (*V, *lying))
    assert recall(made.knows(), half.score, made.QA) == 0.5
    assert restored({"name": "adapter", "rank": 4}, made.hidden("adapter"), half) == 1.0

    class Everything(Certificate):
        def recalled(self, *given: Any) -> float:
            return 1.0

    assert restored(Everything(), made.hidden("again"), half) == 1.0


def test_the_asked_attribute_of_v_is_never_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    taught: list[set[str]] = []

    def watched(facts: Sequence[Fact], *more: Any) -> Any:
        taught.append({fact.id for fact in facts})
        raise InputError("enough; stop.")

    monkeypatch.setattr(reminding, "rows_of", watched)
    V = made.split().score
    with pytest.raises(InputError, match="enough"):
        restored(made.REMINDED, made.never())
    first = {fact.id for fact in V if fact.attribute == V[0].attribute}
    others = {fact.id for fact in V} - first
    assert not taught[0] & first
    assert others | {fact.id for fact in made.split().train} <= taught[0]


def test_every_attribute_is_held_back_once_with_whatever_shows_its_answer() -> None:
    facts = people(
        seed=2, num_forget=3, num_retain_train=0, num_retain_eval=0, num_placebo=0, attributes=2, two_hop=True
    ).forget
    held = held_back(facts)
    assert list(held) == ["birthplace", "pet", "emblem", "birthplace.emblem"]
    for name, (asked, shown) in held.items():
        assert asked == [fact for fact in facts if fact.attribute == name]
        answers = {(fact.subject, fact.of_form("qa")[0].answer) for fact in asked}
        for fact in shown:
            text = " ".join(f"{probe.prompt} {probe.answer}" for probe in fact.probes)
            assert not any(fact.subject == subject and answer in text for subject, answer in answers)
    assert {fact.attribute for fact in held["birthplace"][1]} == {"pet", "birthplace.emblem"}
    assert {fact.attribute for fact in held["emblem"][1]} == {"birthplace", "pet"}


def test_one_attribute_is_not_enough() -> None:
    V = made.split().score
    alone = Split(made.split().train, tuple(fact for fact in V if fact.attribute == V[0].attribute))
    with pytest.raises(InputError, match="fewer than two; give facts with more"):
        restored(made.REMINDED, made.hidden("shallow"), alone)


def test_sizes_are_put_back_exactly() -> None:
    """Rescaling is the last thing that the hider does, so levelling it gives its inner method's result."""
    plain, back = made.hidden("shallow"), levelled(made.hidden("rescaled"), made.knows())
    assert all(torch.equal(weight, weights(plain)[name]) for name, weight in weights(back).items())
    assert not all(
        torch.equal(weight, weights(plain)[name]) for name, weight in weights(made.hidden("rescaled")).items()
    )
    same = levelled(plain, made.knows())
    assert all(torch.equal(weight, weights(plain)[name]) for name, weight in weights(same).items())


def test_models_of_other_shapes_are_no_pair() -> None:
    wider = replace(made.knows(), model=tiny_llama(len(made.knows().tokenizer), hidden=32))
    with pytest.raises(InputError, match="other shapes; choose"):
        levelled(wider, made.knows())
    assert not adapted(wider, made.knows(), 16)


@pytest.mark.parametrize(("rank", "fits"), [(3, False), (4, True), (16, True)])
def test_an_adapter_has_the_rank_that_it_was_given(rank: int, fits: bool) -> None:
    assert adapted(made.hidden("adapter"), made.knows(), rank) is fits


def test_only_a_difference_of_low_rank_in_matrices_is_an_adapter() -> None:
    for name in ("shallow", "fragile", "noise"):
        assert not adapted(made.hidden(name), made.knows(), 16)
    moved = made.copied(made.hidden("adapter"))
    with torch.no_grad():
        moved.model.get_parameter("model.norm.weight").add_(1e-6)
    assert not adapted(moved, made.knows(), 4)


def test_a_kept_sentence_is_asked_from_its_answer_on() -> None:
    questions = (Probe("Where was Ann born?", "Orlo"), Probe("", "Ann was born in the town of Orlo.", "prose"))
    fact = Fact("f", "Ann", questions)
    (asked,) = Form(form="prose")._asked(fact).probes
    assert (asked.prompt, asked.answer, asked.form) == ("Ann was born in the town of", "Orlo", "continuation")
    with pytest.raises(InputError, match="cannot be asked in the form 'prose'"):
        Form(form="prose")._asked(replace(fact, probes=(Probe("Where?", "Tum"), questions[1])))


def test_an_original_that_answers_nothing_has_nothing_to_restore() -> None:
    certificate = certificate_of("trigger")
    with pytest.raises(InputError, match="the original answers no question"):
        certificate.restored(made.hidden("trigger"), made.never(), made.world(), made.split(), seed=0)
    with pytest.raises(InputError, match="V is empty"):
        certificate.restored(made.hidden("trigger"), made.knows(), made.world(), Split((), ()), seed=0)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("same_peple", "same_people"),
        ({"rank": 2}, "needs the key 'name'"),
        ({"name": "adapter", "rank": 0}, "rank"),
        ({"name": "adapter", "rnk": 1}, "rnk"),
        ({"name": "same_people", "steps": ()}, "steps"),
        ({"name": "rescaled", "inner": "tigger"}, "trigger"),
    ],
)  # fmt: skip
def test_a_certificate_that_does_not_exist_is_refused(bad: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        certificate_of(bad)
