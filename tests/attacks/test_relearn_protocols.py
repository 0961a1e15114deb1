"""The published relearning protocols: each brings back what is suppressed, and nothing that was never known."""

from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from expunge.attacks import relearn, unlearn_smooth
from expunge.attacks.base import AttackPoint, ProbeReading
from expunge.attacks.extend import extend
from expunge.attacks.relearn import Relearn, attacked_copy
from expunge.attacks.rtt import RTT, left_out, merged, part
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Split
from expunge.models.load import LoadedModel
from expunge.models.view import View
from expunge.registry import build
from expunge.scoring.permuted import permuted_answers
from expunge.scoring.probes import ask
from expunge.scoring.utility_reading import UtilityReading
from expunge.training.config import TrainConfig
from reference import relearning as twin
from reference import tampering as made
from reference.metrics_world import TOWNS, fact, facts, knowledge, split

GRIDS: dict[str, dict[str, Any]] = {
    "benign_relearning": {"rates": 1e-4, "steps": (2, 4)},
    "unlearn_smooth": {},
    "rtt": {"rates": (1e-5, 1e-4), "steps": (2, 4), "folds": 3},
}


def useful(view: View) -> UtilityReading:
    """A utility that never changes."""
    return UtilityReading(1.0, {"recall": 1.0})


CUT = split()


def attacked(name: str, loaded: LoadedModel, split: Split = CUT, **more: Any) -> list[AttackPoint]:
    """The points of a protocol, trained in fp32."""
    fp32 = partial(TrainConfig, precision="fp32")
    attack = build("attack", name, **GRIDS[name])
    with patch.object(relearn, "TrainConfig", fp32), patch.object(unlearn_smooth, "TrainConfig", fp32):
        return attack.run(loaded, knowledge(), split, more.pop("utility", useful), seed=3, **more)  # type: ignore


def on_V(point: AttackPoint) -> dict[str, float]:
    """Log-probabilities by V fact."""
    return {probe.fact: probe.logprob for probe in point.probes if probe.split == "V"}


@pytest.mark.parametrize("name", GRIDS)
def test_what_is_suppressed_by_a_hair_comes_back(name: str) -> None:
    before, *points = attacked(name, twin.brink())
    assert before.mean_score() == 0.0 < max(point.mean_score() for point in points)
    assert {point.access for point in points} == {name} and build("attack", name).family == "relearning"


@pytest.mark.parametrize("name", GRIDS)
def test_what_was_never_known_does_not(name: str) -> None:
    points = attacked(name, made.never())
    assert len(points) > 2 and not any(point.mean_score() for point in points)


@pytest.mark.parametrize("name", GRIDS)
def test_a_protocol_is_not_extended_and_names_its_paper(name: str) -> None:
    grid = build("attack", name)
    assert grid.paper and "arXiv" in grid.paper and "weights" in grid.needs
    last = grid.lines()[-1]
    assert extend(grid, AttackPoint(last.source, name, last.lr, grid.steps[-1], 1.0, {}, True, 1.0, ())) is None


def test_benign_data_never_holds_an_answer_of_V() -> None:
    leaky = Split((*facts(0, 2), fact(2, TOWNS[4])), split().score)
    grid = build("attack", "benign_relearning")
    assert grid.notes(knowledge(), leaky)["sources"]["rows"]["dropped"] == 1
    with patch.object(relearn, "train") as trained:
        grid.run(made.never(), knowledge(), leaky, useful, seed=1)
    keys = {row.key for call in trained.call_args_list for row in call.args[1]["teach"]}
    assert keys == {"f0/qa/0", "f1/qa/0"}


def test_unlearn_smooth_walks_the_published_budgets() -> None:
    grid = build("attack", "unlearn_smooth")
    found = [(line.source, line.lr, line.steps) for line in grid.lines(0, {"rows": 100})]
    sizes = [("rows:20", 5), ("rows:20", 10), ("rows:20", 15), ("rows:40", 10), ("rows:60", 15)]
    assert found == [(name, 1e-5, (steps,)) for name, steps in sizes]
    few = [(line.source, line.steps) for line in grid.lines(0, {"rows": 9})]
    assert few == [("rows:20", (3,)), ("rows:20", (6,)), ("rows:20", (9,))], "all nine rows, for 1, 2 and 3 epochs"
    for key, value in (("rates", 1e-4), ("steps", 20), ("batch_size", 8), ("access", "lora"), ("search", 3)):
        with pytest.raises(InputError, match=f"published, so '{key}' stays"):
            build("attack", "unlearn_smooth", **{key: value})


def test_unlearn_smooth_is_adamw_with_linear_decay_written_out() -> None:
    loaded = twin.brink()
    rows = [item.row for item in ask(split().train, loaded.encoder, ("qa",))]
    asked = ask(split().score, loaded.encoder, ("qa",))
    points = {point.steps: list(on_V(point).values()) for point in attacked("unlearn_smooth", loaded)}
    assert list(points) == [0, 1, 2, 3]
    schedules = {1: [1.0], 2: [1.0, 1.0], 3: [1.0, 1.0, 0.5]}  # one step of warm-up, then (total − step) / (total − 1)
    for steps, shares in schedules.items():
        plain = attacked_copy(loaded)
        twin.fine_tune(plain.model, rows, [1e-5 * share for share in shares])
        expected = twin.scores(plain, asked)
        moved = max(abs(a - b) for a, b in zip(expected, points[0], strict=True))
        off = max(abs(a - b) for a, b in zip(expected, points[steps], strict=True))
        assert off < 0.05 * moved, (steps, off, moved)


def test_rtt_scores_every_fact_once_with_a_model_that_never_saw_it() -> None:
    calls: list[Split] = []
    whole = Relearn.run

    def noted(self: Relearn, loaded: Any, world: Any, cut: Split, *rest: Any, **more: Any) -> list[AttackPoint]:
        calls.append(cut)
        return whole(self, loaded, world, cut, *rest, **more)

    values = iter([1.0, 0.8, 0.7, 0.9, 1.0, 1.0, 0.8, 0.8, 0.9, 1.0, 1.0, 0.8, 0.9, 0.9, 0.7])
    placebo = permuted_answers(facts(3, 11), 0, least=2)[:3]
    with patch.object(Relearn, "run", noted):
        points = attacked(
            "rtt",
            made.knows(),
            also_score={"P": placebo},
            utility=lambda view: UtilityReading(next(values), {"a": 0.5}),
        )
    every = {each.id for each in facts(0, 6)}
    for cut in calls:
        trained, scored = {each.id for each in cut.train}, {each.id for each in cut.score}
        assert trained | scored == every and not trained & scored and {"f0", "f1", "f2"} <= trained
    assert sorted(each.id for cut in calls for each in cut.score) == ["f3", "f4", "f5"] and len(calls) == 3
    for point in points:
        assert sorted(on_V(point)) == ["f3", "f4", "f5"]
        assert sorted(probe.fact for probe in point.probes if probe.split == "P") == ["f3", "f4", "f5"]
    assert [point.utility for point in points] == pytest.approx([1.0, 0.8, 0.8, 0.9, 0.9])
    assert [point.usable for point in points] == [True, False, False, True, True] and points[1].utility_parts == {
        "a": 0.5
    }


def test_a_merged_point_has_the_means_of_its_folds_and_the_first_ones_T() -> None:
    def fold(name: str, recall: float | None, diverged: bool) -> AttackPoint:
        probes = tuple(ProbeReading(name, name, "qa", True, -1.0, each) for each in ("V", "T"))
        return AttackPoint("rows", "rtt", 1e-4, 2, 1.0, {"a": recall, name: 1.0}, True, recall, probes, diverged)

    found = merged([fold("x", 0.5, False), fold("y", 1.0, True)], None)
    assert (found.t_recall, found.utility_parts, found.diverged) == (0.75, {"a": 0.75}, True)
    assert [(probe.fact, probe.split) for probe in found.probes] == [("x", "V"), ("y", "V"), ("x", "T")]
    assert merged([fold("x", None, False)], None).t_recall is None


def test_rtt_puts_the_folds_own_readings_together() -> None:
    grid = RTT(rates=1e-4, steps=(2,), folds=3)
    points = attacked("rtt", made.knows())
    point = next(point for point in points if (point.lr, point.steps) == (1e-4, 2))
    plain = Relearn(rates=1e-4, steps=(2,), sources="rows")
    recalls = []
    for held in ({"s3"}, {"s4"}, {"s5"}):
        with patch.object(relearn, "TrainConfig", partial(TrainConfig, precision="fp32")):
            alone = plain.run(made.knows(), knowledge(), part(split(), held), useful, seed=3)[-1]
        (name,) = on_V(alone)
        assert on_V(point)[name] == on_V(alone)[name]
        recalls.append(alone.t_recall)
    assert point.t_recall == pytest.approx(sum(recalls) / 3) and len(grid.rows_of_grid()) == 3  # type: ignore[arg-type]


def test_folds_keep_together_what_shares_an_answer() -> None:
    alike = [Fact(f"x{n}", f"x{n}", fact(0, "the same house").probes) for n in range(3)]
    found = left_out([*facts(0, 6), *alike], 4, 1)
    assert sorted(name for fold in found for name in fold) == sorted([*(f"s{n}" for n in range(6)), "x0", "x1", "x2"])
    assert {"x0", "x1", "x2"} in found or any({"x0", "x1", "x2"} < fold for fold in found)
    assert len(found) == 4 and len(left_out(facts(0, 2), 5, 1)) == 2
    with pytest.raises(InputError, match="folds is 1"):
        RTT(folds=1)
    assert all(b == pytest.approx(2 * a) for a, b in zip(RTT().rates, RTT().rates[1:], strict=False))
    assert replace(RTT(), folds=2).folds == 2
