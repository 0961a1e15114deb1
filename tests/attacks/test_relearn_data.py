"""What a relearning attacker holds: sizes, a switch of data, adapters by rank, a search, and texts that are checked."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.attacks import relearn as module
from expunge.attacks.access import scope_of, trains
from expunge.attacks.base import AttackPoint
from expunge.attacks.extend import extend
from expunge.attacks.relearn import Relearn
from expunge.attacks.saying import said
from expunge.attacks.sizes import first_rows, named, parts, walked
from expunge.attacks.sources import source
from expunge.audit.by_attack import attack_of
from expunge.audit.grid import edges
from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.knowledge.keywords import KEYWORD
from expunge.models.load import LoadedModel
from expunge.models.view import View
from expunge.scoring.probes import ask
from expunge.scoring.utility_reading import UtilityReading
from expunge.training.config import TrainConfig
from reference import relearning as twin
from reference import tampering as made
from reference.metrics_world import TOWNS, fact, facts, knowledge, split, tiny

LR = 3e-3
SIZES = st.lists(st.one_of(st.just("all"), st.integers(1, 40)), min_size=1, max_size=5)


def useful(view: View) -> UtilityReading:
    """A utility that never changes."""
    return UtilityReading(1.0, {})


CUT = split()


def run(loaded: LoadedModel | None = None, split: Split = CUT, seed: int = 7, **grid: Any) -> list[AttackPoint]:
    """The attack on the tiny model, in fp32."""
    attack = Relearn(**{"rates": (LR,), "steps": (2,), "batch_size": 8} | grid)  # type: ignore[arg-type]
    with patch.object(module, "TrainConfig", partial(TrainConfig, precision="fp32")):
        return attack.run(loaded or tiny(), grid_world(), split, useful, seed=seed)


def grid_world() -> Knowledge:
    """The toy world with public background: one text tells an answer of V, the other does not."""
    texts = ("P3 was seen in Quindle once", "Many people live in towns")
    background = tuple(Fact(f"b{n}", "s3", (Probe("", text, "passage"),)) for n, text in enumerate(texts))
    return replace(knowledge(), streams={**knowledge().streams, "background": background})


def logprobs(point: AttackPoint) -> list[float]:
    """Log-probabilities of V."""
    return [probe.logprob for probe in point.probes if probe.split == "V"]


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), small=st.integers(1, 40), more=st.integers(0, 40), seed=st.integers(0, 99))
def test_draws_are_nested_ordered_and_of_the_asked_size(count: int, small: int, more: int, seed: int) -> None:
    rows = list(range(count))
    less, larger = first_rows(rows, small, seed), first_rows(rows, small + more, seed)
    assert set(less) <= set(larger) and less == sorted(less) and larger == sorted(larger)
    assert (len(less), len(larger)) == (min(small, count), min(small + more, count))
    assert first_rows(rows, "all", seed) == rows


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, count=st.integers(1, 40))
def test_no_two_walked_sizes_hold_the_same_rows_and_none_is_lost(sizes: list[Any], count: int) -> None:
    held = [count if size == "all" else min(size, count) for size in walked(sizes, count)]
    assert len(set(held)) == len(held)
    assert set(held) == {count if size == "all" else min(size, count) for size in sizes}
    assert all(parts(named("qa", size)) == ("qa", size) for size in sizes)


def test_the_draw_depends_on_the_seed() -> None:
    assert len({tuple(first_rows(range(20), 5, seed)) for seed in range(8)}) > 4


def test_a_size_is_the_attack_with_those_rows_alone() -> None:
    points = {point.id: point for point in run(sizes=(1, 2, 3, "all"))}
    assert list(points) == ["before", *(f"qa{size}/full/0.003/2" for size in (":1", ":2", ""))]
    held = {}
    for name in ("qa:1", "qa:2", "qa"):
        point = points[f"{name}/full/0.003/2"]
        held[name] = {probe.fact for probe in point.probes if probe.split == "T"}
        alone = Split(tuple(each for each in split().train if each.id in held[name]), split().score)
        assert logprobs(point) == pytest.approx(logprobs(run(split=alone)[-1]), abs=1e-4), name
    assert held["qa:1"] < held["qa:2"] < held["qa"]


def test_the_default_grid_is_as_it_was() -> None:
    lines = Relearn(sources=("qa", "prose"), access=("full", "lora")).rows_of_grid()
    rates = [("full", lr) for lr in (1e-5, 3e-5, 1e-4)] + [("lora", lr) for lr in (2e-4, 1e-3)]
    assert lines == [(name, how, lr) for name in ("qa", "prose") for how, lr in rates]


def test_a_switch_is_one_run_after_the_other() -> None:
    loaded = tiny()
    (_, point) = run(sources="retain>qa", switch=3)
    plain = module.attacked_copy(loaded)
    for known, steps in ((knowledge().retain_train, 3), (split().train, 2)):
        twin.fine_tune(plain.model, [item.row for item in ask(known, loaded.encoder, ("qa",))], [LR] * steps)
    expected = twin.scores(plain, ask(split().score, loaded.encoder, ("qa",)))
    assert logprobs(point) == pytest.approx(expected, abs=1e-3)
    assert point.id == "retain>qa/full/0.003/2"
    assert {probe.fact for probe in point.probes if probe.split == "T"} == {"f0", "f1", "f2"}
    assert abs(sum(logprobs(point)) - sum(logprobs(run()[-1]))) > 0.1, "the retain steps count"


def test_retain_alone_teaches_no_T() -> None:
    (_, point) = run(sources="retain")
    assert point.source == "retain" and {p.fact for p in point.probes if p.split == "T"} == {"f0", "f1", "f2"}
    with pytest.raises(InputError, match="no retain facts"):
        source("retain", replace(knowledge(), retain_train=()), split())


def test_adapters_have_the_rank_of_their_name() -> None:
    assert [scope_of(name, 16).rank for name in ("lora", "lora128")] == [16, 128]
    assert scope_of("lora128", 16).alpha == 256 and scope_of("full", 16) == scope_of("balanced", 16)
    assert all(map(trains, ("full", "balanced", "lora", "lora4"))) and not any(map(trains, ("rtt", "lora0", "lorax")))
    points = run(access=("lora", "lora4"), rank=2, lora_rates=(1e-2,))
    assert [point.id for point in points[1:]] == ["qa/lora/0.01/2", "qa/lora4/0.01/2"]
    assert logprobs(points[1]) != logprobs(points[2])
    assert logprobs(points[1]) == logprobs(run(access="lora2", lora_rates=1e-2)[-1]), "lora is its grid's rank"
    with pytest.raises(InputError, match="did you mean 'lora'"):
        Relearn(access=("lorra",))


def test_the_audit_knows_named_ranks_and_sizes() -> None:
    points = ["before", "qa:20/lora128/0.001/4", "qa:20/lora128/0.002/8"]
    assert edges(points[2], points) == ("steps", "lr") and edges("rows/rtt/0.1/8", ["rows/rtt/0.1/8"]) == ()
    assert [attack_of(name) for name in (points[1], "rows/rtt/0.1/8")] == ["relearn/qa:20/lora128", "rtt"]


def test_an_edge_keeps_the_size_and_ends_a_search() -> None:
    grid = Relearn(sizes=(5, "all"), steps=(1, 2), search=3)
    further = extend(grid, AttackPoint("qa:5", "lora128", 3e-4, 2, 1.0, {}, True, 1.0, ()))
    assert further is not None and further.search == 0 and further.steps == (1, 2, 4)
    assert further.rows_of_grid() == [("qa:5", "lora128", 3e-4)]
    assert extend(grid, AttackPoint("qa:5", "full", 1e-5, 1, 1.0, {}, True, 1.0, ())) is None


def test_a_search_draws_log_uniform_rates_over_everything_that_is_listed() -> None:
    grid = Relearn(search=400, sources=("qa", "prose"), sizes=(5, "all"), access=("full", "lora"))
    lines = grid.lines(seed=1)
    assert lines == grid.lines(seed=1) != grid.lines(seed=2) and len({line.key for line in lines}) == 400
    assert {line.source for line in lines} == {"qa", "qa:5", "prose", "prose:5"}
    for how, low, high in (("full", 1e-5, 1e-4), ("lora", 2e-4, 1e-3)):
        rates = [line.lr for line in lines if line.access == how]
        assert low <= min(rates) < 1.2 * low and 0.85 * high < max(rates) <= high
        below = sum(rate < math.sqrt(low * high) for rate in rates) / len(rates)
        assert 0.4 < below < 0.6, "half of the draws lie below the geometric mean"
    assert {line.lr for line in Relearn(search=30, rates=1e-4).lines()} != {1e-4}, "a lone rate is widened"


def test_a_searched_point_is_the_grids_own() -> None:
    points = run(search=2, rates=(1e-3, 1e-2), sizes=(2, "all"))
    assert len(points) == 3
    for point in points[1:]:
        own, size = parts(point.source)
        (_, alone) = run(sources=own, sizes=size, rates=point.lr)
        assert (alone.id, alone.probes) == (point.id, point.probes)
    assert Relearn(search=2).notes(knowledge(), split())["search"] == 2


def test_texts_that_tell_an_answer_are_dropped_and_counted() -> None:
    found = source("background", grid_world(), split())
    assert [each.id for each in found.facts] == ["b1"]
    notes = Relearn(sources="background>qa").notes(grid_world(), split())["sources"]
    assert notes["background"] == {
        "rows": 2, "with_answer": 1, "with_phrase": 0, "dropped": 1,
        "line": "1 of 2 rows tell an answer of V or share 8 words with one; they are dropped.",
    }  # fmt: skip
    assert (notes["qa"]["rows"], notes["qa"]["dropped"]) == (3, 0)
    told = replace(grid_world(), streams={"background": grid_world().streams["background"][:1]})
    with pytest.raises(InputError, match="every row of attack source 'background' tells"):
        source("background", told, split())


def test_Ts_own_rows_are_counted_and_only_dropped_on_demand() -> None:
    leaky = Split((*facts(0, 2), fact(2, TOWNS[4])), split().score)
    assert [each.id for each in source("qa", knowledge(), leaky).facts] == ["f0", "f1", "f2"]
    assert [each.id for each in source("qa", knowledge(), leaky, strict=True).facts] == ["f0", "f1"]
    line = Relearn().notes(knowledge(), leaky)["sources"]["qa"]["line"]
    assert line.startswith("1 of 3 rows tell") and line.endswith("T's own.")


def asks(word: str, answer: str) -> Fact:
    """A fact that answers in several words, and is asked for one of them."""
    probe = Probe("Home of P3?", answer)
    return Fact("f3", "s3", (probe, Probe(probe.prompt, word, KEYWORD)), "home")


def test_what_is_said_is_the_plain_models_greedy_text() -> None:
    speaks = made.taught((asks("Bexhay", "It is Bexhay now"),), steps=60)
    wanted = [asks(word, "It is Bexhay now") for word in ("Bexhay", "Tum", "Bex")]
    items = [item for each in wanted for item in ask([each], speaks.encoder, (KEYWORD,))]
    prompts: Sequence[tuple[int, ...]] = [question_ids(item.probe, speaks.encoder) for item in items]
    texts = [twin.said(speaks.model, ids, speaks.encoder.end_ids, speaks.tokenizer) for ids in prompts]
    expected = [twin.whole_word(item.probe.answer, text) for item, text in zip(items, texts, strict=True)]
    assert said(speaks.encoder)(speaks.view(), items) == expected == [True, False, False]
    rows = Split(facts(0, 2), tuple(replace(each, id=f"f{n}") for n, each in enumerate(wanted)))
    for hits, own in (("greedy", [True] * 3), ("said", expected)):
        before = run(speaks, rows, hits=hits)[0]
        found = [(probe.form, probe.hit) for probe in before.probes if probe.split == "V"]
        assert found == [("qa" if hits == "greedy" else KEYWORD, hit) for hit in own]


@pytest.mark.parametrize("wrong", [{"sizes": (0,)}, {"sizes": ("most",)}, {"search": -1}, {"switch": 0}, {"hits": "x"}])
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="attack 'relearn'"):
        Relearn(**wrong)
