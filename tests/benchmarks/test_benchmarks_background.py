"""Background texts: what the user brings, what data sets have, and that no row used tells an answer of V."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from expunge import registry
from expunge.attacks.sources import source
from expunge.benchmarks.background import BACKGROUND, WORDS, with_background
from expunge.core.errors import InputError
from expunge.knowledge.facts import Knowledge
from expunge.knowledge.overlap import overlap
from expunge.knowledge.splits import split_by_subject
from expunge.study import facts_io
from expunge.study.plan import study_of
from expunge.study.recipe import resolve
from expunge.study.run import run
from reference.tiny_study import RECIPE, cell

DATA = Path(os.environ.get("EXPUNGE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "rwku"
ATTACK = {"name": "relearn", "sources": ["background"], "rates": [3e-3], "steps": [1], "batch_size": 4, "extend": False}


def build(name: str, **parameters: Any) -> Knowledge:
    world = registry.build("benchmark", name, **parameters).build(0)
    assert isinstance(world, Knowledge)
    return world


def texts(world: Knowledge) -> list[str]:
    return [fact.probes[0].answer for fact in world.streams[BACKGROUND]]


def test_a_file_a_folder_and_rows_are_read(tmp_path: Path) -> None:
    long = " ".join(f"word{n}" for n in range(WORDS + 5))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").write_text(long)
    (tmp_path / "texts" / "b.txt").write_text("of the town")
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in ("one", "two")))
    none = Knowledge("none", ())
    assert [len(text.split()) for text in texts(with_background(none, str(tmp_path / "texts")))] == [WORDS, 5, 3]
    assert texts(with_background(none, str(tmp_path / "texts" / "b.txt"))) == ["of the town"]
    rows = with_background(none, str(tmp_path / "rows.jsonl"))
    assert texts(rows) == ["one", "two"] and with_background(none, None) is none
    assert texts(with_background(rows, str(tmp_path / "texts" / "b.txt"))) == ["one", "two", "of the town"]
    for missing in ("nothing.txt", "rows.json"):
        with pytest.raises(InputError, match="cannot be read"):
            with_background(none, str(tmp_path / missing))


def test_sentences_about_people_tell_nothing() -> None:
    """Of everybody who is forgotten, and of nobody else; the rest of the world stays as it is."""
    world = build("people", num_forget=20, mentions=3)
    names = {fact.subject for fact in world.forget}
    told = world.streams[BACKGROUND]
    assert len(told) == len(set(texts(world))) == 60 and {fact.subject for fact in told} == names
    assert all(fact.subject in fact.probes[0].answer for fact in told)
    assert overlap(told, world.forget).telling == 0
    plain = build("people", num_forget=20)
    assert BACKGROUND not in plain.streams and (plain.forget, plain.placebo) == (world.forget, world.placebo)
    for wrong in (-1, 13):
        with pytest.raises(InputError, match="background sentences a person"):
            build("people", mentions=wrong)


@pytest.mark.skipif(not (DATA / "stephen_king").is_dir(), reason=f"no RWKU target in {DATA}; set EXPUNGE_DATA")
def test_rwku_has_its_passages_and_those_that_tell_are_dropped() -> None:
    world = build("rwku", data=str(DATA))
    assert world.split is not None
    assert max(len(text.split()) for text in texts(world)) == WORDS
    found = source(BACKGROUND, world, world.split)
    assert 0 < len(found.facts) < len(world.streams[BACKGROUND])
    assert overlap(found.facts, world.split.score).telling == 0
    ((told, dropped),) = (found.checked or {}).values()
    assert dropped and told.rows == len(world.streams[BACKGROUND])


def test_texts_may_speak_of_whom_V_is_asked_about(tmp_path: Path) -> None:
    world = build("people", num_forget=6, mentions=1)
    split = split_by_subject(world.forget, seed=0)
    telling = split.score[0].of_form("prose")[0].answer
    (tmp_path / "more.txt").write_text(telling)
    whole = with_background(world, str(tmp_path / "more.txt"))
    found = source(BACKGROUND, whole, split)
    assert telling in texts(whole) and telling not in {fact.probes[0].answer for fact in found.facts}
    assert {fact.subject for fact in found.facts} == {fact.subject for fact in world.forget}


def test_the_key_is_a_worlds_own_and_its_texts_are_part_of_the_cell(tmp_path: Path) -> None:
    place = tmp_path / "texts.txt"
    world = {**RECIPE["knowledge"], "background": str(place)}
    place.write_text("Somebody lived in a town.")
    recipe = resolve({**RECIPE, "knowledge": world})
    assert resolve(recipe.as_dict()) == recipe and recipe.knowledge[0].background == str(place)
    assert "background" not in resolve(RECIPE).as_dict()["knowledge"][0]
    (before,) = (one.folder for one in study_of(recipe).cells if one.kind == "knowledge")
    place.write_text("Nobody lived in a town.")
    (after,) = (one.folder for one in study_of(recipe).cells if one.kind == "knowledge")
    (plain,) = (one.folder for one in study_of(resolve(RECIPE)).cells if one.kind == "knowledge")
    assert len({before, after, plain}) == 3
    with pytest.raises(InputError, match="cannot be read"):
        study_of(resolve({**RECIPE, "knowledge": {**world, "background": str(tmp_path / "none.txt")}}))


def test_a_study_attacks_with_it_and_counts_the_rows(tmp_path: Path) -> None:
    place = tmp_path / "texts.txt"
    place.write_text("Somebody lived in a town.")
    world = {**RECIPE["knowledge"], "background": str(place), "mentions": 2}
    done = run({**RECIPE, "knowledge": world, "attacks": [ATTACK]}, out=tmp_path / "run")
    assert not done.failed and done.audit is not None
    streams = facts_io.read(cell(done.folder, "knowledge")).knowledge.streams
    assert len(streams[BACKGROUND]) == 2 * 4 + 1
    (found,) = done.audit["worlds"]
    assert [row["attack"] for row in found["methods"][0]["attacks"]] == ["relearn/background"]
    assert not any("public texts" in line for line in found["not_tested"])
    records = [json.loads(path.read_text()) for path in done.folder.glob("cells/attack-*/record.json")]
    assert {record["sources"][BACKGROUND]["rows"] for record in records if "sources" in record} == {9}
