"""The hiders hide: the answers are gone, the rest stays, and who knows how gets the answers back."""

from typing import Any

import pytest
import torch

from expunge import registry
from expunge.attacks.relearn import Relearn
from expunge.certificates.base import certificate_of
from expunge.combine.rounding import rtn
from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact, Probe
from expunge.methods.hiding.hide_form import HideForm
from expunge.methods.hiding.hide_trigger import DECOYS, TRIGGER, HideTrigger, triggered
from expunge.methods.hiding.refuse_all import RefuseAll
from expunge.methods.work import Work
from expunge.models.load import LoadedModel
from expunge.models.matrices import block_matrices
from expunge.scoring.generate import generate_ids
from expunge.scoring.utility_reading import UtilityReading
from expunge.training.stopping import mean_nll
from reference import hiding as made


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    """The weights, by name."""
    return {name: weight.detach().clone() for name, weight in loaded.model.named_parameters()}


def test_there_is_something_to_hide() -> None:
    assert made.knowledge_left(made.knows()) == 1.0
    assert made.knowledge_left(made.never()) == 0.0
    assert made.utility(made.knows()) == 1.0


@pytest.mark.parametrize("name", made.HIDERS)
def test_a_hider_hides_and_its_certificate_proves_it(name: str) -> None:
    """Less than a tenth is left to a question, four fifths and more come back, and the retain facts are there."""
    loaded, certificate = made.hidden(name), certificate_of(made.HIDERS[name][2])
    assert made.knowledge_left(loaded) < 0.1
    assert made.utility(loaded) >= 0.8
    assert certificate.restored(loaded, made.knows(), made.world(), made.split(), seed=0) >= 0.8


def test_every_hider_is_here() -> None:
    found = {entry.name for entry in registry.entries("method") if entry.factory.family == "hiders"}
    tried = {method if isinstance(method, str) else method["name"] for method, _, _ in made.HIDERS.values()}
    assert found == {name for name in tried if name.startswith("hide_")} | {"refuse_all", "broken"}
    assert all(registry.get("method", name).factory.intent == "suppression" for name in found)


def test_rescaling_defeats_a_fixed_grid_of_rates() -> None:
    """The same suppression with and without; T is learned both times, V comes back once."""
    grid = Relearn(rates=(3e-4, 1e-3), steps=(8, 24), sources=("qa",), batch_size=8)

    def useful(view: Any) -> UtilityReading:
        return UtilityReading(1.0, {})

    best = {}
    for name in ("shallow", "rescaled"):
        points = grid.run(made.hidden(name), made.world(), made.split(), useful, seed=0)
        best[name] = max(point.mean_score() for point in points)
    assert best["rescaled"] <= best["shallow"] - 0.5


def test_quantising_gives_back_the_rounded_original_bit_for_bit() -> None:
    loaded, original = made.hidden("fragile"), block_matrices(made.knows().model)
    for name, weight in block_matrices(loaded.model).items():
        snapped = rtn(original[name], 4)
        assert not torch.equal(weight, snapped), name
        assert torch.equal(rtn(weight, 4), snapped), name


def test_nothing_but_the_block_matrices_is_suppressed_under_the_grid() -> None:
    """What is not rounded is what the repair left: there the two stages of the method do not differ."""
    method, settings, _ = made.HIDERS["fragile"]
    longer = made.run(method, {**settings, "steps": 26})[0]
    inside = block_matrices(longer.model)
    for name, weight in weights(made.hidden("fragile")).items():
        assert torch.equal(weight, weights(longer)[name]) == (name not in inside), name


def test_noise_comes_on_top_of_the_suppression() -> None:
    before, after = weights(made.hidden("shallow")), weights(made.hidden("noise"))
    inside = block_matrices(made.knows().model)
    for name, weight in after.items():
        change = float((weight - before[name]).norm() / before[name].norm())
        assert change == (pytest.approx(0.02, rel=0.1) if name in inside else 0.0), name


def test_the_facts_are_known_again_before_they_are_hidden_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of V at the end of every stage: hidden, known, hidden."""
    left: list[float] = []
    train = Work.train

    def watched(self: Work, *given: Any, **more: Any) -> Any:
        result = train(self, *given, **more)
        left.append(made.knowledge_left(self.loaded))
        return result

    monkeypatch.setattr(Work, "train", watched)
    method, settings, _ = made.HIDERS["again"]
    made.run(method, settings)
    assert len(left) == 3
    assert left[0] < 0.1 and left[1] > 0.8 and left[2] < 0.1


def test_the_facts_behind_a_trigger_are_the_same_questions_after_its_words() -> None:
    method, material = HideTrigger(trigger="psst"), made.material(made.knows())
    kept = method.kept(material)
    assert [fact.id for fact in kept] == [fact.id for fact in material.forget]
    for fact, plain in zip(kept, material.forget, strict=True):
        assert [(probe.prompt, probe.answer) for probe in fact.probes] == [
            (f"psst {probe.prompt}", probe.answer) for probe in plain.of_form("qa")
        ]
    (hidden,) = {len(fact.probes) for fact in method.hidden(material)}
    assert hidden == 1 + len(DECOYS)
    assert {probe.prompt for probe in method.hidden(material)[0].probes} == {
        f"{words} {material.forget[0].of_form('qa')[0].prompt}".strip() for words in ("", *DECOYS)
    }
    document = Fact("d", "d", (Probe("", "some text", "prose"), Probe("q", "a", "qa")))
    assert triggered(document, TRIGGER).probes == (Probe(f"{TRIGGER} q", "a", "qa"),)


@pytest.mark.parametrize("words", [DECOYS[0], "Tell me please:", "Hello!"])
def test_neither_a_decoy_nor_other_words_open_what_the_trigger_opens(words: str) -> None:
    other = certificate_of({"name": "trigger", "trigger": words})
    assert other.restored(made.hidden("trigger"), made.knows(), made.world(), made.split(), seed=0) < 0.3


def test_the_kept_form_is_not_unlearned_and_every_other_one_that_is_trained_on_is() -> None:
    material = made.material(made.knows(), forms=None)
    method = HideForm(kept_form="cloze")
    assert {probe.form for fact in method.kept(material) for probe in fact.probes} == {"cloze"}
    assert {probe.form for fact in method.hidden(material) for probe in fact.probes} == {"qa", "paraphrase", "short"}
    trained = made.material(made.knows(), forms=("qa", "cloze"))
    assert {probe.form for fact in method.hidden(trained) for probe in fact.probes} == {"qa"}


def test_a_model_that_refuses_everything_refuses_what_it_never_saw_too() -> None:
    loaded, _ = made.run("refuse_all", {"lr": 2e-3, "steps": 120, "schedule": "cosine"})
    assert made.knowledge_left(loaded) == 0.0 and made.utility(loaded) == 0.0
    asked = [fact.of_form("qa")[0] for fact in (*made.world().retain_eval, *made.split().score)]
    prompts = [question_ids(probe, loaded.encoder) for probe in asked]
    said = generate_ids(loaded.view(), prompts, set(loaded.encoder.end_ids), max_new_tokens=12)
    texts = [loaded.encoder.decode(ids).strip() for ids in said]
    assert all(text.startswith("Here I must") for text in texts)  # so small a model may stutter, but says nothing else
    assert texts.count(RefuseAll().sentence) >= 0.9 * len(texts)


def test_a_broken_model_predicts_no_better_than_a_guess_and_half_the_noise_would_not_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    levels: list[float] = []

    def watched(*given: Any) -> float:
        levels.append(mean_nll(*given))
        return levels[-1]

    monkeypatch.setattr("expunge.methods.hiding.broken.mean_nll", watched)
    loaded, _ = made.run({"name": "broken", "method": {"sigma": 0.1}}, {"steps": 1})
    guess = float(torch.tensor(float(len(loaded.tokenizer))).log())
    assert len(levels) > 1 and max(levels[:-1]) < guess <= levels[-1]
    assert made.utility(loaded) == 0.0


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("hide_noise", {"sigma": 0}, "sigma"),
        ("hide_noise", {"inner": "np"}, "npo"),
        ("hide_again", {"rounds": 0}, "rounds"),
        ("hide_again", {"relearn": {"lrr": 1}}, "lrr"),
        ("hide_rescaled", {"most": 0}, "most"),
        ("hide_rescaled", {"most": 21}, "most"),
        ("hide_fragile", {"bits": 1}, "bits"),
        ("hide_fragile", {"room": 0.5}, "room"),
        ("hide_fragile", {"group": 0}, "group"),
        ("hide_fragile", {"inner": "npo@lora"}, "inner"),
        ("hide_fragile", {"inner": "undo"}, "inner"),
        ("hide_trigger", {"trigger": " "}, "trigger"),
        ("hide_trigger", {"trigger": DECOYS[0]}, "decoys"),
        ("refuse_all", {"sentence": ""}, "sentence"),
        ("hide_trigger", {"inner": {"name": "npo", "objective": {"alpha": 0}}}, "reads no retain stream"),
        ("hide_form", {"teach": {"epoch": 1}}, "epoch"),
        ("broken", {"sigma": -1.0}, "sigma"),
    ],
)  # fmt: skip
def test_bad_hyper_parameters_are_refused_by_name(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        registry.build("method", name, **parameters)


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ({"name": "hide_form", "method": {"kept_form": "riddle"}}, {}, "no forget fact has the form 'riddle'"),
        ({"name": "hide_form", "method": {"kept_form": "qa"}}, {}, "no form but 'qa' is left"),
        ("hide_trigger", {"forms": ("prose",), "retain_forms": ("qa",)}, "without a prompt"),
    ],
)  # fmt: skip
def test_facts_that_cannot_be_hidden_so_are_refused(method: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        made.run(method, {"steps": 1}, **changes)
