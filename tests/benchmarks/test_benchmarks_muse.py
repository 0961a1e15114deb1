"""MUSE from files of its schema and from a stand-in for the hub; folds, sizes and faults."""

from pathlib import Path

import pytest

from expunge import registry
from expunge.core.errors import InputError
from expunge.knowledge.facts import Knowledge
from expunge.knowledge.splits import split_by_subject
from expunge.models.chat import TEMPLATES
from expunge.study import facts_io
from expunge.study.execute import Job
from expunge.study.kinds import knowledge
from expunge.study.plan import study_of
from expunge.study.recipe import resolve
from reference.official import encode_all, muse_tables, stand_in_hub, write

NEWS = "muse-bench/MUSE-News"


def build(data: Path | str, seed: int = 0, **parameters: object) -> Knowledge:
    world = registry.build("benchmark", "muse", data=str(data), **parameters).build(seed)
    assert isinstance(world, Knowledge)
    return world


def texts(world: Knowledge) -> list[str]:
    """The forget texts."""
    return [probe.answer for fact in world.forget for probe in fact.of_form("passage")]


def test_the_hub_and_a_folder_give_the_same_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in_hub(monkeypatch, NEWS, muse_tables())
    hub, folder = build(NEWS), build(write(tmp_path, muse_tables()))
    assert hub == folder and ("knowmem", "forget_qa_icl") in asked and ("raw", "retain1") in asked
    assert [len(part) for part in (hub.forget, hub.retain_train, hub.retain_eval)] == [4 + 3 + 3, 4, 3]
    assert {"privleak_forget", "privleak_holdout", "privleak_retain"} <= hub.streams.keys()
    assert encode_all(hub) > 30
    cut = split_by_subject(hub.forget, seed=0)
    assert cut.train and cut.score


def test_questions_are_put_as_the_authors_put_them(tmp_path: Path) -> None:
    world = build(write(tmp_path, muse_tables()))
    (fact,) = [fact for fact in world.forget if fact.id == "forget-qa-1"]
    few = fact.of_form("few_shot")[0]
    shown = "Question: Ex forget?\nAnswer: shownforget\n\n" * 2
    assert TEMPLATES["plain"].render(None, few.prompt) == f"{shown}Question: What of forget1?\nAnswer:"
    assert few.answer == "forgetanswer1" == fact.of_form("qa")[0].answer
    (verbatim,) = [fact for fact in world.forget if fact.id == "verbatim-2"]
    assert verbatim.probes[0].form == "continuation" and verbatim.probes[0].prompt == "verb2 alpha beta"


def test_folds_and_sizes_take_other_texts(tmp_path: Path) -> None:
    write(tmp_path, muse_tables())
    assert [len(texts(build(tmp_path, size=size))) for size in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert set(texts(build(tmp_path, size=2))) < set(texts(build(tmp_path, size=3)))
    assert not set(texts(build(tmp_path, fold=1))) & set(texts(build(tmp_path, fold=2)))
    with pytest.raises(InputError, match="either from a fold or from a size"):
        build(tmp_path, fold=1, size=1)
    with pytest.raises(InputError, match="fold is 5; it lies between 1 and 4"):
        build(tmp_path, fold=5)


def in_folds() -> dict[tuple[str, str], list[dict[str, str]]]:
    """Tables whose second and third fold hold a verbatim prompt and an answer; one answer stands in two folds."""
    tables = muse_tables()
    tables["sust", "forget_1"].append({"text": "a second text with nothing in it that is asked anywhere else"})
    tables["sust", "forget_2"].append({"text": "Before it VERB1, alpha beta; gamma1 delta1. After it forgetanswer0!"})
    tables["sust", "forget_3"].append({"text": "verb1 alpha gamma1 and forgetanswer2"})
    tables["sust", "forget_4"].append({"text": "once more forgetanswer2, and forgetanswer10"})
    return tables


def test_folds_are_requests_with_what_belongs_to_them(tmp_path: Path) -> None:
    write(tmp_path, in_folds())
    world = build(tmp_path, folds=True)
    assert [set(ids) for ids in world.requests] == [
        {"fold1-0.0", "fold1-1.0"},
        {"fold2-0.0", "fold2-1.0", "verbatim-1", "forget-qa-0"},
        {"fold3-0.0", "fold3-1.0"},
        {"fold4-0.0", "fold4-1.0"},
    ]
    assert {fact.id for fact in world.forget} == {key for ids in world.requests for key in ids}
    single = [set(texts(build(tmp_path, fold=number))) for number in (1, 2, 3, 4)]
    assert [{texts(world)[at] for at in range(a, b)} for a, b in ((0, 2), (2, 4), (4, 6), (6, 8))] == single
    assert build(tmp_path).requests == () and build(tmp_path, fold=2).requests == ()
    with pytest.raises(InputError, match="or from all folds"):
        build(tmp_path, folds=True, fold=1)


def test_a_recipe_takes_the_folds_for_its_requests(tmp_path: Path) -> None:
    """Nothing is taught: the first request starts from the given model, each later one from what was left."""
    raw = {
        "name": "sustainability",
        "model": "folder",
        "knowledge": {"name": "muse", "folds": True, "data": str(write(tmp_path, in_folds()))},
        "methods": ["npo"],
        "attacks": [{"name": "relearn", "sources": ["prefixes"]}],
        "requests": 4,
    }
    chain = [cell for cell in study_of(resolve(raw)).cells if cell.kind == "unlearn"]
    assert len(chain) == 4 and "model" not in chain[0].inputs
    assert [cell.inputs["model"] for cell in chain[1:]] == chain[:-1]
    (cell,) = [cell for cell in study_of(resolve(raw)).cells if cell.kind == "knowledge"]
    draft = tmp_path / "cell"
    draft.mkdir()
    knowledge.run(Job(cell.config, {}, draft, draft))
    material = facts_io.read(draft)
    cut = [{fact.id for fact in side} for side in (material.split.train, material.split.score)]
    assert len(material.knowledge.requests) == 4 and not cut[0] & cut[1]
    assert all(side & set(ids) for side in cut for ids in material.knowledge.requests)
    with pytest.raises(InputError, match="has 4 requests of its own, the recipe has 3"):
        study_of(resolve({**raw, "requests": 3}))


def test_passages_keep_every_word_and_membership_keeps_every_text(tmp_path: Path) -> None:
    write(tmp_path, muse_tables())
    whole, cut = build(tmp_path, passage_words=None), build(tmp_path, passage_words=8)
    assert " ".join(texts(whole)).split() == " ".join(texts(cut)).split()
    assert max(len(text.split()) for text in texts(cut)) == 8 and len({f.subject for f in cut.forget}) == 10
    first, again = whole.streams["privleak_forget"], cut.streams["privleak_forget"]
    assert len(again) == 2 and first[0].probes[0].answer.startswith(again[0].probes[0].answer)


def test_text_files_and_json_lines_are_read(tmp_path: Path) -> None:
    write(tmp_path, muse_tables())
    (tmp_path / "raw" / "forget.json").unlink()
    (tmp_path / "raw" / "forget.txt").write_text("one whole book in a single file")
    (tmp_path / "privleak" / "forget.json").write_text('["a bare text"]')
    (tmp_path / "raw" / "retain1.json").unlink()
    (tmp_path / "raw" / "retain1.jsonl").write_text('{"text": "line one"}\n\n{"text": "line two"}\n')
    world = build(tmp_path)
    assert texts(world) == ["one whole book in a single file"] and len(world.retain_train) == 2


def test_faults_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = muse_tables()
    broken["verbmem", "forget"][1] = {"prompt": "p", "gt": ""}
    with pytest.raises(InputError, match=r"verbmem/forget.json, row 2: empty gt"):
        build(write(tmp_path / "empty", broken))
    broken["verbmem", "forget"][1] = {"prompt": "p", "truth": "t"}
    with pytest.raises(InputError, match=r"verbmem/forget.json, row 2: the column 'gt' is missing"):
        build(write(tmp_path / "column", broken))
    renamed = {(c, "retain_1" if s == "retain1" else s): rows for (c, s), rows in muse_tables().items()}
    with pytest.raises(InputError, match=r"has no split 'retain1'.*did you mean 'retain_1'"):
        build(write(tmp_path / "renamed", renamed))
    stand_in_hub(monkeypatch, NEWS, renamed)
    with pytest.raises(InputError, match=r"MUSE-News raw/retain1 is not to be had \(Unknown split"):
        build(NEWS)
    with pytest.raises(InputError, match="is no folder; set data"):
        build("muse-bench/MUSE-Books")
    with pytest.raises(InputError, match="did you mean 'books'"):
        build(tmp_path, corpus="book")
    with pytest.raises(InputError, match="passage_words is 7"):
        build(tmp_path, passage_words=7)


def test_without_the_package_the_hub_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"needs the package datasets; install expunge\[hub\]"):
        build(NEWS)
