"""Verdicts by attribute in a whole study: from the samples that are there, also where these are hashes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from expunge.audit.groups import Group
from expunge.core.files import write_json, write_jsonl
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.study import facts_io
from expunge.study.groups import groups_of
from expunge.study.redact import MARK
from expunge.study.run import StudyResult, run

RECIPE: dict[str, Any] = {
    "name": "groups",
    "model": {"source": "small", "template": "plain", "layers": 1, "hidden": 32, "vocab": 400},
    "knowledge": {
        "name": "people", "num_forget": 8, "num_retain_train": 3, "num_retain_eval": 2, "num_placebo": 4,
        "num_same_kind": 2, "attributes": 2,
    },
    "teach": {"forms": ["qa"], "train": {"lr": 1e-2, "epochs": 40, "batch_size": 16}},
    "unlearn": {"train": {"lr": 1e-3, "steps": 2, "batch_size": 4, "checkpoint_every": 0}},
    "methods": ["npo"],
    "attacks": [{"name": "relearn", "rates": [1e-2], "steps": [4], "batch_size": 4, "extend": False}],
    "eval": {"samples": 2, "sample_tokens": 4, "generate": 2},
    "audit": {"resamples": 50},
    "workers": 0,
    "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return run(RECIPE, out=tmp_path_factory.mktemp("groups") / "run")


def groups(result: StudyResult) -> list[dict[str, Any]]:
    """The groups of the only method."""
    assert result.audit is not None
    found: list[dict[str, Any]] = result.audit["worlds"][0]["methods"][0]["groups"]
    return found


def samples(result: StudyResult) -> list[dict[str, Any]]:
    """The rows of the attack on the method, on V."""
    index = json.loads((result.folder / "index.json").read_text())["worlds"][0]["cells"]["methods"]["npo"][0]
    text = (result.folder / "cells" / index["attack"][0] / "samples.jsonl").read_text()
    return [row for row in map(json.loads, text.splitlines()) if row["split"] == "V"]


def test_each_attribute_is_judged_on_its_own_facts(done: StudyResult) -> None:
    (folder,) = done.folder.glob("cells/knowledge-*")
    attribute = {fact.id: fact.attribute for fact in facts_io.read(folder).split.score}
    assert [one["attribute"] for one in groups(done)] == ["birthplace", "pet"]
    for one in groups(done):
        own = [row for row in samples(done) if attribute[row["fact"]] == one["attribute"]]
        before = [row["hit"] for row in own if row["point"] == "before"]
        assert one["before"]["value"] == pytest.approx(sum(before) / len(before))
        assert one["num_v_subjects"] == len({row["subject"] for row in own}) and one["e_star"] is not None


def person(name: str, *attributes: str) -> list[Fact]:
    return [Fact(f"{name}/{key}", name, (Probe(f"{key} of {name}?", f"{key}{name}"),), key) for key in attributes]


def written(folder: Path, hits: dict[str, tuple[int, int]]) -> Path:
    """An attack cell: fact → hit before the attack and at its one point."""
    points = [{"id": at, "usable": True, "t_recall": 1.0, "utility": 1.0} for at in ("before", "qa/full/1/4")]
    write_json(folder / "record.json", {"points": points})
    rows = [
        {"point": point["id"], "split": "V", "fact": fact, "subject": fact.partition("/")[0], "hit": pair[index]}
        for index, point in enumerate(points)
        for fact, pair in hits.items()
    ]
    write_jsonl(folder / "samples.jsonl", rows)
    return folder


def found(tmp_path: Path, facts: list[Fact], hits: dict[str, tuple[int, int]], **more: Any) -> list[Group]:
    """The groups of a world with one method, whose attack left ``hits``."""
    material = facts_io.Material(Knowledge("w", tuple(facts), **more), Split((), tuple(facts)))
    model = {"role": "method", "label": "m", "measures": {"attack0": "attack"}}
    world: dict[str, Any] = {"replicates": [{"knowledge": "knowledge", "models": [model]}]}
    if more:
        world["sequence"] = {"done": 2}
    inputs = {"attack": written(tmp_path / "run" / "cells" / "attack-1", hits), "knowledge": tmp_path / "run/cells/k"}
    return groups_of(inputs, world, [material])


FACTS = [*person("A", "pet", "town"), *person("B", "town", "pet"), *person("C", "town")]
HITS = {"A/pet": (0, 1), "A/town": (1, 1), "B/town": (0, 0), "B/pet": (0, 0), "C/town": (0, 1)}


def test_a_group_has_the_scores_of_its_facts_alone(tmp_path: Path) -> None:
    pet, town = found(tmp_path, FACTS, HITS)
    assert (pet.name, town.name) == ({"attribute": "pet"}, {"attribute": "town"})
    (row,) = pet.trajectories
    assert row.subjects == ("A", "B") and row.scores_PS.tolist() == [[0, 0], [1, 0]]
    (row,) = town.trajectories
    assert row.subjects == ("A", "B", "C") and row.scores_PS.tolist() == [[1, 0, 0], [1, 0, 1]]


def test_requests_come_before_attributes(tmp_path: Path) -> None:
    """The second request has one subject in V: no number, and the reason."""
    one, two = found(tmp_path, FACTS, HITS, requests=(("A/pet", "A/town", "B/pet", "B/town"), ("C/town",)))
    assert (one.name, two.name) == ({"request": 1}, {"request": 2})
    assert one.trajectories[0].scores_PS.tolist() == [[0.5, 0], [1, 0]]
    assert "two folds need at least 2" in two.fault and not two.trajectories


@pytest.mark.parametrize("count", [1, 2, 12, 13])
def test_one_attribute_makes_no_group_and_neither_do_too_many(tmp_path: Path, count: int) -> None:
    keys = [f"k{number}" for number in range(count)]
    facts = [fact for name in "AB" for fact in person(name, *keys, "")]
    made = found(tmp_path, facts, {fact.id: (0, 1) for fact in facts})
    assert [one.name["attribute"] for one in made] == (keys if count in (2, 12) else [])


def test_the_record_names_the_verdicts(done: StudyResult) -> None:
    (path,) = done.folder.glob("cells/audit-*/record.json")
    said = json.loads(path.read_text())["groups"]["people"]["npo"]
    assert said == [{"attribute": one["attribute"], "verdict": one["verdict"]} for one in groups(done)]


def test_a_redacted_study_has_the_same_numbers_and_no_names(done: StudyResult, tmp_path: Path) -> None:
    """Its samples hold hashes when the audit reads them, and the facts do not yet."""
    shutil.copytree(done.folder, tmp_path / "run")
    for path in (tmp_path / "run" / "cells").glob("audit-*"):
        shutil.rmtree(path)
    again = run(RECIPE, out=tmp_path / "run", redact=True)
    document = json.loads((tmp_path / "run" / "audit.json").read_text())
    hidden = document["worlds"][0]["methods"][0]["groups"]
    assert again.done == 1 and all(one["attribute"].startswith(MARK) for one in hidden)
    bare = [[{key: value for key, value in one.items() if key != "attribute"} for one in rows]
            for rows in (hidden, groups(done))]  # fmt: skip
    assert bare[0] == bare[1]
    (path,) = (tmp_path / "run").glob("cells/audit-*/record.json")
    assert "birthplace" not in path.read_text() and "birthplace" not in json.dumps(document)
