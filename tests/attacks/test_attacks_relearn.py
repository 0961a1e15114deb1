"""The relearning attack: one trajectory for all budgets, bit-exact starts, measuring without side effects."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch

from expunge.attacks import relearn as module
from expunge.attacks.base import AttackPoint
from expunge.attacks.relearn import Relearn
from expunge.combine.rescaling import drawn, pairs
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Probe, Split
from expunge.models.view import View
from expunge.registry import build
from expunge.scoring.permuted import permuted_answers
from expunge.scoring.probes import ask
from expunge.scoring.utility_reading import UtilityReading
from expunge.training.config import TrainConfig
from expunge.training.errors import Diverged
from expunge.training.loop import train
from reference.metrics_world import fact, facts, knowledge, split, tiny

LR = 3e-3


def useful(view: View) -> UtilityReading:
    """A utility that never changes."""
    return UtilityReading(1.0, {"recall": 1.0})


def grid(**changes: object) -> Relearn:
    """A small grid."""
    return Relearn(**{"rates": (LR,), "steps": (1, 2, 4), "batch_size": 2} | changes)  # type: ignore[arg-type]


def run(attack: Relearn, **changes: object) -> list[AttackPoint]:
    """The attack on the tiny model."""
    given = {"knowledge": knowledge(), "split": split(), "utility": useful, "seed": 7} | changes
    return attack.run(tiny(), given.pop("knowledge"), given.pop("split"), given.pop("utility"), **given)  # type: ignore


def logprobs(point: AttackPoint, name: str = "V") -> list[float]:
    """Log-probabilities of a scored set."""
    return [probe.logprob for probe in point.probes if probe.split == name]


def same(one: AttackPoint, other: AttackPoint) -> bool:
    """Equal bit for bit."""
    return one.probes == other.probes and one.t_recall == other.t_recall


def test_one_trajectory_equals_separate_runs_of_each_length() -> None:
    together = {point.steps: point for point in run(grid())}
    for steps in (1, 2, 4):
        (_, alone) = run(grid(steps=(steps,)))
        assert same(together[steps], alone), steps
    assert len({tuple(logprobs(point)) for point in together.values()}) == 4, "every budget moved the model"


def test_a_point_is_what_a_plain_training_run_gives() -> None:
    loaded = tiny()
    copied = module.attacked_copy(loaded)
    rows = [item.row for item in ask(split().train, loaded.encoder, ("qa",))]
    config = TrainConfig(lr=LR, steps=4, batch_size=2, seed=derive(7, "relearn", "qa"))
    trained = train(copied.view(), {"teach": rows}, build("objective", "cross_entropy"), config=config)
    assert trained.steps == 4
    asked = ask(split().score, loaded.encoder, ("qa",))
    expected = [-item.score.nll_sum for item in module_score(copied.view(), asked)]
    assert logprobs(run(grid())[-1]) == pytest.approx(expected, abs=1e-5)


def module_score(view: View, asked: Sequence[object]) -> list:  # type: ignore[type-arg]
    """Scores outside the panel."""
    from expunge.scoring.probes import score_asked

    return score_asked(view, asked)  # type: ignore[arg-type]


def test_every_row_of_the_grid_starts_from_the_same_bits() -> None:
    model = tiny().model
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    twice = run(grid(rates=(LR, LR), access=("lora", "full"), lora_rates=(1e-2,), steps=(2,)))
    assert all(torch.equal(start[name], tensor) for name, tensor in model.state_dict().items())
    assert start.keys() == model.state_dict().keys()
    _, lora, first, second = twice
    assert same(first, second) and not same(lora, first) and logprobs(lora) != logprobs(twice[0])


def test_measuring_does_not_change_training() -> None:
    plain = run(grid(steps=(4,)))[-1]

    def noisy(view: View) -> UtilityReading:
        torch.rand(5)
        return useful(view)

    assert same(run(grid(steps=(1, 2, 3, 4)), utility=noisy)[-1], plain)


def test_the_seed_orders_the_data() -> None:
    ends = [run(grid(), seed=seed)[-1] for seed in (1, 1, 2, 3, 4)]
    assert same(ends[0], ends[1]) and not all(same(ends[0], other) for other in ends[2:])


def test_t_recall_is_of_the_probes_trained_on() -> None:
    points = run(grid(rates=(8e-3,), steps=(120,), batch_size=3))
    trained = [probe for probe in points[-1].probes if probe.split == "T"]
    assert {probe.form for probe in trained} == {"qa"} and len(trained) == 3
    assert points[0].t_recall == 0.0 and points[-1].t_recall == 1.0
    assert points[-1].t_recall == points[-1].mean_score("T")


def test_before_comes_first_and_ids_are_the_contracts() -> None:
    points = run(grid(sources=("qa", "unrelated"), steps=(1, 8), rates=(1e-5,)))
    assert [p.id for p in points] == [
        "before",
        "qa/full/1e-05/1",
        "qa/full/1e-05/8",
        "unrelated/full/1e-05/1",
        "unrelated/full/1e-05/8",
    ]
    row = points[1].samples()[0]
    assert set(row) == {"point", "split", "fact", "subject", "form", "hit", "logprob"}
    assert row["split"] == "V" and row["subject"] == "s3" and row["hit"] in (0, 1)
    assert points[0].as_dict()["usable"] is True


def test_usable_means_ninety_percent_of_before() -> None:
    values = iter([0.8, 0.8 * 0.9 + 1e-9, 0.8 * 0.9 - 1e-9, 0.0])
    points = run(grid(), utility=lambda view: UtilityReading(next(values), {}))
    assert [point.usable for point in points] == [True, True, False, False]


def test_a_placebo_split_and_permuted_answers_go_through_the_same_function() -> None:
    placebo = Split(facts(20, 23), facts(23, 31))
    points = run(grid(), split=placebo, also_score={"V_permuted": permuted_answers(placebo.score, 0)})
    assert len(logprobs(points[-1])) == len(logprobs(points[-1], "V_permuted")) == 8
    assert logprobs(points[-1]) != logprobs(points[-1], "V_permuted")
    assert {p.subject for p in points[0].probes if p.split == "V_permuted"} == {f"s{n}" for n in range(23, 31)}


@pytest.mark.parametrize("where", ["split", "stream"])
def test_a_subject_on_both_sides_is_refused(where: str) -> None:
    overlap = replace(split(), train=(*split().train, fact(4)))
    leaky = replace(knowledge(), streams={"same_kind": (fact(4),)})
    changes = {"split": overlap} if where == "split" else {"knowledge": leaky}
    with pytest.raises(InputError, match=r"V share the subject 's4'"):
        run(grid(sources=("qa" if where == "split" else "same_kind",)), **changes)


def test_sources_that_cannot_be_used_are_explained() -> None:
    reasons = {"prose": "form 'prose'", "same_kind": "no stream 'same_kind'", "qaa": "did you mean 'qa'"}
    for name, words in reasons.items():
        with pytest.raises(InputError, match=words):
            run(grid(sources=(name,)))
    with pytest.raises(InputError, match="V is empty"):
        run(grid(), split=Split(facts(0, 3), ()))


def test_prefix_documents_are_trained_on_as_they_are() -> None:
    texts = tuple(Fact(f"d{n}", f"d{n}", (Probe("", f"Al Bo Cy {n} Ann", "passage"),)) for n in range(2))
    points = run(grid(sources=("prefixes",), rates=(1e-2,), steps=(40,)), split=Split(texts, facts(3, 6)))
    assert points[0].t_recall < 0.5 < points[-1].t_recall, "the share of a document's tokens"


def test_divergence_is_a_failed_attack_at_the_budgets_not_reached() -> None:
    def breaks(view: View, streams: object, objective: object, *, callback: object, **rest: object) -> None:
        callback(1, view)  # type: ignore[operator]
        raise Diverged(2, "the loss")

    with patch.object(module, "train", breaks):
        points = run(grid())
    assert [point.diverged for point in points] == [False, False, True, True]
    lost = points[-1]
    assert (lost.utility, lost.usable, lost.t_recall, lost.mean_score()) == (0.0, False, 0.0, 0.0)
    assert [probe.fact for probe in lost.probes] == [probe.fact for probe in points[0].probes]


def test_lone_values_and_nonsense_in_the_grid() -> None:
    assert build("attack", "relearn", sources="qa", access="lora", steps=[4, 2, 4]).steps == (2, 4)
    assert Relearn(access="lora", lora_rates=1e-3).rows_of_grid() == [("qa", "lora", 1e-3)]  # type: ignore[arg-type]
    for changes in ({"steps": (0,)}, {"rates": ()}, {"access": ("half",)}):
        with pytest.raises(InputError, match="attack 'relearn'"):
            Relearn(**changes)  # type: ignore[arg-type]


def test_balanced_access_sees_through_a_rescaling_and_full_access_does_not() -> None:
    """The attack on a rescaled model is the attack on the model itself, bit for bit, once channels are balanced."""
    rescaled = replace(tiny(), model=copy.deepcopy(tiny().model))
    for name, pair in pairs(rescaled.model).items():
        pair.scale_(drawn(pairs(rescaled.model), 6, seed=1)[name])
    for access, alike in (("balanced", True), ("full", False)):
        attack = grid(access=access, steps=(4,))
        (_, plain), (_, hidden) = (
            attack.run(loaded, knowledge(), split(), useful, seed=7) for loaded in (tiny(), rescaled)
        )
        assert (logprobs(plain) == logprobs(hidden)) == alike, access
        assert plain.access == access
