"""What a method stands on: stages that are not repeated, one budget, streams on demand, other facts inside."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.core.errors import InputError
from expunge.methods import work as work_module
from expunge.methods.grammar import parse
from expunge.methods.stages import StageStore
from expunge.objectives.cross_entropy import CrossEntropy
from expunge.objectives.gradient_ascent import GradientAscent
from expunge.study.trained import described
from expunge.training.loop import TrainResult, train
from expunge.training.stopping import Spent
from reference.objectives import kl
from reference.stages import SETTINGS, facts, furthest, loaded, unlearned, weights, work

STORED = {**SETTINGS, "epochs": 2, "batch_size": 2, "checkpoint_every": 1}
LAYERED = {"name": "layered", "method": {"folds": 2}}


class _Killed(BaseException):
    """Stands for the end of the process."""


def _training(monkeypatch: pytest.MonkeyPatch, die_in: tuple[int, int] | None = None) -> list[Path]:
    """The folders of the stages that are trained; the run dies in stage, after step ``die_in``."""
    begun: list[Path] = []

    def watched(*given: Any, **named: Any) -> TrainResult:
        begun.append(named["folder"])

        def die(step: int, view: object) -> None:
            if die_in == (len(begun) - 1, step):
                raise _Killed

        return train(*given, **named, callback=die, callback_steps=(1, 2, 3))

    monkeypatch.setattr(work_module, "train", watched)
    return begun


@pytest.mark.parametrize("method", [LAYERED, {"name": "undo"}, "spunge", "repselect"], ids=str)
@pytest.mark.parametrize("step", [1, 2])
def test_a_killed_run_repeats_no_finished_stage_and_ends_in_the_same_bits(
    method: Any, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, result = unlearned(method, STORED)
    stages = _training(monkeypatch, die_in=(0 if method == "repselect" else 1, step))
    with pytest.raises(_Killed):
        unlearned(method, STORED, folder=tmp_path)
    last = stages[-1].name
    again = _training(monkeypatch)
    resumed, total = unlearned(method, STORED, folder=tmp_path)
    assert [path.name for path in again] == [last]
    assert furthest(whole, resumed) == 0
    assert (total.steps, total.tokens, total.stopped) == (result.steps, result.tokens, result.stopped)
    none = _training(monkeypatch)
    assert furthest(whole, unlearned(method, STORED, folder=tmp_path)[0]) == 0
    assert none == []


def test_without_checkpoints_nothing_is_stored(tmp_path: Path) -> None:
    unlearned(LAYERED, SETTINGS, folder=tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_stage_of_other_settings_is_refused(tmp_path: Path) -> None:
    unlearned(LAYERED, STORED, folder=tmp_path)
    for other in ({**STORED, "lr": 2e-3}, {**STORED, "epochs": 1}):
        with pytest.raises(InputError, match="other settings"):
            unlearned(LAYERED, other, folder=tmp_path)
    with pytest.raises(InputError, match="other settings"):
        unlearned({**LAYERED, "method": {"folds": 2, "inner": "simnpo"}}, STORED, folder=tmp_path)


def test_a_stored_result_comes_back_whole_even_where_a_number_is_none(tmp_path: Path) -> None:
    model = loaded().model
    result = TrainResult(2, ({"step": 1, "budget_kl": float("nan")},), 7, "max_kl", model, "fp32", 1.0, 0.5)
    StageStore(tmp_path, "mark").save(result)
    other = loaded().model
    with torch.no_grad():
        for weight in other.parameters():
            weight.zero_()
    back = StageStore(tmp_path, "mark").load(other)
    assert back is not None
    assert furthest(weights(other), weights(model)) == 0
    assert back.model is other
    assert back.losses[0]["step"] == 1
    assert back.losses[0]["budget_kl"] != back.losses[0]["budget_kl"]
    assert (back.steps, back.tokens, back.stopped) == (2, 7, "max_kl")


def test_the_budget_is_measured_against_the_original_in_every_stage() -> None:
    given = work({**SETTINGS, "max_kl": 1e9})
    for _ in range(2):
        given.train(GradientAscent())
    with torch.no_grad():
        end = float(kl(given.loaded.model, loaded().model, given.rows("retain")))
    assert given.done[1].losses[-1]["budget_kl"] == pytest.approx(end, rel=1e-3)
    assert given.drift(given.budget) == pytest.approx(end, rel=1e-3)  # type: ignore[arg-type]
    assert end > 2 * given.done[0].losses[-1]["budget_kl"]


def test_a_budget_is_measured_on_people_who_are_not_trained_on() -> None:
    """Two of sixteen, the eighth and the last; what trains sees the others only, also after the method asked before."""
    given = work(retain=facts(6, 22))
    asked_before = given.rows("retain")
    budget = given.utility()
    held = {row.key for row in budget.rows}
    assert len(asked_before) == 16 and len(held) == 2
    assert {row.key for row in given.rows("retain")} == {row.key for row in asked_before} - held
    assert {row.key for row in given.utility().rows} == held, "once and for all"
    short = work({**SETTINGS, "max_kl": 1e9}, retain=facts(6, 13))
    assert short.budget is not None and short.budget.rows == short.rows("retain"), "seven can spare none"


def test_a_budget_that_stage_one_used_up_stops_stage_two_at_once() -> None:
    given = work({**SETTINGS, "max_kl": 1e9})
    given.train(GradientAscent())
    before, level = given.weights(), given.drift(given.budget)  # type: ignore[arg-type]
    result = given.train(GradientAscent(), max_kl=level)
    assert (result.steps, result.stopped) == (1, "max_kl")
    assert furthest(before, given.weights()) == 0


def test_a_budget_of_the_inner_method_alone_is_the_originals_too() -> None:
    """In stage two the model is no longer θ₀, and the retain stream is another one."""
    limit = 1e-3
    inner = {"name": "npo", "train": {"max_kl": limit, "lr": 1e-4}}
    ours, _ = unlearned({"name": "layered", "method": {"folds": 4, "inner": inner}}, {**SETTINGS, "epochs": 30})
    given = work()
    given.put(ours)
    with torch.no_grad():
        assert 0 < float(kl(given.loaded.model, loaded().model, given.rows("retain"))) <= 1.001 * limit


@pytest.mark.parametrize(
    ("method", "over"),
    [("npo", False), ({"name": "undo", "method": {"alpha": 0.6, "distil": {"steps": 1}}}, True)],
    ids=["held", "left"],
)
def test_a_method_says_what_it_spent_and_one_that_corrupts_may_leave_its_budget(method: Any, over: bool) -> None:
    ours, result = unlearned(method, {**SETTINGS, "max_kl": 1e-3})
    given = work()
    given.put(ours)
    with torch.no_grad():
        end = float(kl(given.loaded.model, loaded().model, given.rows("retain")))
    assert result.spent is not None and result.spent.limit == 1e-3
    assert result.spent.kl == pytest.approx(end, rel=1e-3, abs=1e-7)
    assert (result.spent.kl > result.spent.limit) is over
    assert described(result, 1)["budget"] == {"kl": result.spent.kl, "limit": 1e-3}


def test_without_a_budget_nothing_is_said_of_one() -> None:
    _, result = unlearned("npo")
    assert result.spent is None and "budget" not in described(result, 1)


def test_a_model_that_is_not_a_number_any_more_spent_no_number() -> None:
    result = replace(unlearned("npo")[1], spent=Spent(float("nan"), 0.1))
    assert described(result, 1)["budget"] == {"kl": None, "limit": 0.1}


def test_streams_are_built_when_they_are_asked_for_and_once() -> None:
    given = work()
    given.train(GradientAscent())
    assert given.streams.built == {}
    rows = given.rows("unrelated")
    assert set(given.streams.built) == {"unrelated"}
    assert given.rows("unrelated") is rows
    assert rows == work().rows("unrelated")


def test_a_named_builder_goes_before_a_given_stream_and_a_given_one_before_any_builder() -> None:
    extra = {"unrelated": facts(4, 5)}
    assert [row.key for row in work(extra=extra).rows("unrelated")] == ["f4/qa/0", "f4/cloze/0"]
    given = work(extra=extra)
    given.streams.builders = parse({"name": "ilu", "builders": {"unrelated": "unrelated"}}).builders
    assert len(given.rows("unrelated")) == 64


def test_built_streams_that_answer_the_forget_set_follow_its_forms_and_others_do_not() -> None:
    given = work(forms=("qa",))
    given.streams.built["answers"] = facts(0, 4)
    assert [row.key for row in given.rows("answers")] == [row.key for row in given.rows("forget")]
    assert len(given.rows("unrelated")) == 64


def test_a_stream_that_nothing_makes_is_one_clear_sentence() -> None:
    with pytest.raises(InputError, match="'nowhere', which has no rows; give some"):
        work().rows("nowhere")
    with pytest.raises(InputError, match="'retain', which has no rows"):
        work({**SETTINGS, "max_kl": 1.0}, retain=())
    with pytest.raises(InputError, match="'forget' has no row of the wanted forms"):
        work(forms=("prose",)).rows("forget")


def test_an_inner_method_on_other_facts_sees_those_alone_and_leaves_the_outer_ones() -> None:
    given = work()
    given.method(parse("npo"), forget=facts(0, 2))
    assert furthest(given.weights(), unlearned("npo", forget=facts(0, 2))[0]) == 0
    assert furthest(given.weights(), unlearned("npo")[0]) > 1e-5
    assert len(given.rows("forget")) == 4
    assert len(given.done) == 1


@pytest.mark.parametrize("other", [{}, {"forget": facts(0, 2)}], ids=["same facts", "other facts"])
def test_an_inner_methods_own_builders_and_settings_count(other: dict[str, Any]) -> None:
    given = work()
    builders = {"unrelated": {"name": "unrelated", "num": 5}}
    given.method(parse({"name": "ilu", "builders": builders, "train": {"epochs": 3}}), **other)
    assert given.done[0].steps == 3
    assert given.streams.built == {}
    assert len(given.rows("unrelated")) == 64


def test_stages_draw_other_orders_and_own_settings_win() -> None:
    given = work({**SETTINGS, "steps": 7})
    seen: list[int] = []
    original: Callable[..., TrainResult] = train

    def watch(*args: Any, **named: Any) -> TrainResult:
        seen.append(named["config"].seed)
        return original(*args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_module, "train", watch)
        given.train(GradientAscent(), epochs=1)
        given.train(CrossEntropy(), streams={"teach": given.rows("retain")}, steps=2)
    assert [result.steps for result in given.done] == [1, 2]
    assert len(set(seen)) == 2


def test_what_is_noted_counts_in_the_total() -> None:
    _, alone = unlearned({"name": "repselect", "method": {"elicit_epochs": 0}})
    _, whole = unlearned("repselect")
    rows = work().rows("forget")
    assert alone.tokens == sum(len(row.ids) for row in rows)
    assert whole.tokens == 2 * alone.tokens
    assert whole.steps > 1
