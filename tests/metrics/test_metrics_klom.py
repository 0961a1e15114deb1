"""KLoM against a literal twin, its zero and its invariances; and a study whose replicates share their facts."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge import api
from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Margins
from expunge.metrics.klom import klom, margin
from expunge.registry import build
from expunge.study.over_replicates import readings
from expunge.study.plan import study_of
from expunge.study.recipe import load
from reference import klom as twins
from reference.tiny_study import RECIPE

SIDE = st.lists(st.integers(-37, 37).map(lambda n: n * 4.7), min_size=2, max_size=8)


@given(SIDE, SIDE, st.sampled_from([2, 7, 20]), st.sampled_from([0.1, 0.5]))
def test_it_is_its_twin(left: list[float], right: list[float], bins: int, pseudo: float) -> None:
    """Where no margin lies on an inner edge, which falls by rounding."""
    low, high = (end(end(left), end(right)) for end in (min, max))
    low, high = max(low, -100.0), min(high, 100.0)
    places = [(min(max(value, -100.0), 100.0) - low) / (high - low) * bins for value in left + right if high > low]
    if any(abs(place - round(place)) < 1e-9 and 0 < round(place) < bins for place in places):
        return
    found = klom(left, right, bins=bins, pseudo=pseudo)
    assert found == pytest.approx(twins.klom(left, right, bins, pseudo, 100.0), abs=1e-12) and found >= 0


@given(SIDE, SIDE, st.randoms())
def test_equal_samples_give_zero_and_neither_order_nor_origin_matters(
    left: list[float], right: list[float], draw: Any
) -> None:
    assert klom(left, left[::-1]) == 0.0
    mixed = [draw.sample(side, len(side)) for side in (left, right)]
    assert klom(*mixed) == pytest.approx(klom(left, right))
    small = [[round(value) / 128 for value in side] for side in (left, right)]
    moved = [[2 * value + 8 for value in side] for side in small]
    assert klom(*moved) == pytest.approx(klom(*small)), "bins follow the margins"


def test_retrained_models_are_near_each_other_and_others_far() -> None:
    """200 draws a side; a model's histogram counts the sample at the right-most edge too."""
    stream = np.random.default_rng(0)
    a, b, far = (stream.normal(mean, 1, 200).tolist() for mean in (0, 0, 6))
    assert klom(a, b) < 0.15 and klom(far, b) > 2
    assert klom([0.0, 1.0], [0.0, 0.0]) > klom([0.0, 0.0], [0.0, 0.0]) == 0.0


def test_a_margin_is_the_log_odds() -> None:
    for p in (0.0, 1e-60, 0.2, 0.5, 1 - 1e-9, 1.0):
        assert margin(p) == pytest.approx(twins.margin(p, 100.0), rel=1e-6)
    assert margin(0.0) == -100 and margin(1.0) == 100 and margin(0.9, clip=1.0) == 1.0


def test_what_cannot_be_compared_is_refused_or_said() -> None:
    for few in (([1.0], [1.0, 2.0]), ([1.0, 2.0], [])):
        with pytest.raises(InputError, match="at least 2 unlearned models"):
            klom(*few)
    with pytest.raises(InputError, match="not a number"):
        klom([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(InputError, match="bins ≥ 2"):
        build("metric", "klom", bins=1)
    one = Evidence(margins=[Margins("s", (1.0,), (1.0, 2.0))])
    assert "at least 2" in str(build("metric", "klom").compute(one).reason)
    assert "over replicates, in the audit" in str(build("metric", "klom").compute(Evidence()).reason)
    rows = [Margins("s", (1.0, 4.0), (1.0, 2.0)), Margins("t", (0.0, 0.0), (0.0, 0.0))]
    assert build("metric", "klom").compute(Evidence(margins=rows)).value == pytest.approx(klom((1, 4), (1, 2)) / 2)


def cell(folder: Path, name: str, probabilities: Sequence[float], **changed: Any) -> Path:
    """An evaluate cell's samples: one probe a fact, and one of R_eval that does not count."""
    base = {"form": "qa", "prompt": "Who?", "answer": "x", "generated": None, "hit": 0}
    rows = [
        {"split": "forget", "fact": f"f{n}", "subject": f"s{n}", "probability": p, **base, **changed}
        for n, p in enumerate(probabilities)
    ]
    rows.append({"split": "retain_eval", "fact": "r", "subject": "r", "probability": 0.9, **base})
    (folder / name).mkdir(parents=True)
    (folder / name / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def test_replicates_on_the_same_facts_are_several_models(tmp_path: Path) -> None:
    controls = [cell(tmp_path, f"c{n}", (0.1 + n / 50, 0.2)) for n in range(3)]
    same = [cell(tmp_path, f"s{n}", (0.1 + n / 50, 0.2)) for n in range(3)]
    knows = [cell(tmp_path, f"k{n}", (0.9 + n / 50, 0.95)) for n in range(3)]
    found = readings(["klom"], {"same": same, "knows": knows, "one": knows[:1]}, controls)
    assert found["same"]["klom"]["value"] == 0.0 and found["knows"]["klom"]["n"] == 2
    wanted = np.mean(
        [
            klom([margin(0.9 + n / 50) for n in range(3)], [margin(0.1 + n / 50) for n in range(3)]),
            klom([margin(0.95)] * 3, [margin(0.2)] * 3),
        ]
    )
    assert found["knows"]["klom"]["value"] == pytest.approx(wanted)
    assert "there are 1 and 3" in found["one"]["klom"]["reason"]
    other = [cell(tmp_path, f"o{n}", (0.5, 0.5), answer=f"y{n}") for n in range(2)]
    assert "no fact in common" in readings(["klom"], {"other": other}, controls)["other"]["klom"]["reason"]


def recipe(folder: Path, **asked: Any) -> dict[str, Any]:
    """Two replicates of one file of facts."""
    rows = {
        name: [
            {"prompt": f"Home of P{n}?", "answer": f"town {n * 7}", "subject": f"p{n}"} for n in range(start, start + 4)
        ]
        for name, start in (("forget", 0), ("retain", 10))
    }
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    world = {"name": "jsonl", "taught": True, **{name: str(folder / f"{name}.jsonl") for name in rows}}
    raw = {**RECIPE, "knowledge": world, "replicates": 2, "placebo": False}
    raw["teach"] = {"forms": ["qa"], "train": {"lr": 3e-3, "steps": 8, "batch_size": 8}}
    raw["unlearn"] = {"train": {"lr": 1e-3, "steps": 1, "batch_size": 4}}
    raw["attacks"] = [{"name": "relearn", "rates": [3e-3], "steps": [1], "batch_size": 4, "extend": False}]
    return {**raw, "eval": {**RECIPE["eval"], **asked}}


def test_a_study_of_replicates_reads_it_in_the_audit_and_the_report(tmp_path: Path) -> None:
    raw = recipe(tmp_path, costly=["klom"])
    done = api.run(raw, out=tmp_path / "run")
    assert not done.failed and done.audit is not None
    (world,) = done.audit["worlds"]
    found = world["over_replicates"]["npo"]["klom"]
    assert found["value"] > 0 and found["n"] == 4
    (record,) = (json.loads(path.read_text()) for path in done.folder.glob("cells/audit-*/record.json"))
    assert record["over_replicates"] == {world["label"]: world["over_replicates"]}
    line = next(line for line in (done.folder / "report.md").read_text().splitlines() if line.startswith("| klom"))
    assert f"{found['value']:.2f}" in line


def test_only_the_audit_is_another_cell(tmp_path: Path) -> None:
    plain, asked = (study_of(load(recipe(tmp_path, **more))) for more in ({}, {"costly": ["klom"]}))
    old = {cell.folder for cell in plain.cells}
    assert [cell.kind for cell in asked.cells if cell.folder not in old] == ["audit"]
    assert "over_replicates" not in plain.audit.config
    seeded = replace(load(recipe(tmp_path, costly=["klom"])), seeds=(3, 4))
    assert len({cell.folder for cell in study_of(seeded).cells if cell.kind == "unlearn"}) == 2
