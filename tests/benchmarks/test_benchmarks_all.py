"""Every registered benchmark builds a world; TOFU and a user's own files."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from expunge import registry
from expunge.benchmarks.base import Benchmark
from expunge.core.errors import InputError
from expunge.knowledge.facts import Knowledge

DATA = Path(os.environ.get("EXPUNGE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
needs_tofu = pytest.mark.skipif(
    not (DATA / "tofu").is_dir(), reason=f"TOFU is not in {DATA}; set EXPUNGE_DATA to the folder that holds tofu/"
)


def build(name: str, seed: int = 0, **parameters: object) -> Knowledge:
    world = registry.build("benchmark", name, **parameters).build(seed)
    assert isinstance(world, Knowledge)
    return world


@pytest.mark.parametrize("name", ["people", "known", "names"])
def test_worlds_build_from_defaults_alone(name: str) -> None:
    world = build(name)
    assert world.name == name and world.forget and world.retain_train and world.retain_eval
    assert {"same_kind", "unrelated"} <= world.streams.keys()
    assert build(name) == world != build(name, seed=1)


def test_every_benchmark_is_a_frozen_dataclass_with_a_summary() -> None:
    entries = registry.entries("benchmark")
    assert {"people", "known", "names", "tofu", "jsonl"} <= {entry.name for entry in entries}
    for entry in entries:
        assert isinstance(entry.factory, type) and issubclass(entry.factory, Benchmark)
        assert dataclasses.is_dataclass(entry.factory) and entry.summary
    assert not registry.get("benchmark", "known").factory.taught  # type: ignore[attr-defined]


def test_a_users_own_files(tmp_path: Path) -> None:
    for name in ("forget", "retain"):
        rows = [{"prompt": f"{name} {index}?", "answer": f"{name} answer {index}"} for index in range(6)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    forget, retain = str(tmp_path / "forget.jsonl"), str(tmp_path / "retain.jsonl")
    world = build("jsonl", forget=forget, retain=retain, eval_fraction=1 / 3)
    assert [len(part) for part in (world.forget, world.retain_train, world.retain_eval)] == [6, 4, 2]
    assert build("jsonl", forget=forget).retain_train == ()
    with pytest.raises(InputError, match="also in retain"):
        build("jsonl", forget=forget, retain=forget)
    with pytest.raises(InputError, match="needs the parameter 'forget'"):
        build("jsonl")


def test_placebos_of_a_users_own_files(tmp_path: Path) -> None:
    """None unless asked for; asked for, what else the world holds stays as it is."""
    forget = tmp_path / "forget.jsonl"
    names = [f"{first} {last}" for first in ("Ann", "Tom", "Eva", "Ida") for last in ("Berg", "Falk")]
    rows = [{"subject": name, "prompt": f"Home of {name}?", "answer": f"town {n}"} for n, name in enumerate(names[1:])]
    forget.write_text("\n".join(map(json.dumps, rows)))
    plain, some = build("jsonl", forget=str(forget)), build("jsonl", forget=str(forget), placebo=1)
    assert plain.placebo == () and dataclasses.replace(some, placebo=()) == plain
    assert [fact.subject for fact in some.placebo] == ["Ann Berg"], "the only name that is free"
    for wrong in (-1, True, "some"):
        with pytest.raises(InputError, match="placebo is"):
            build("jsonl", forget=str(forget), placebo=wrong)
    with pytest.raises(InputError, match="1 of 3 placebo subjects can be drawn: no new name"):
        build("jsonl", forget=str(forget), placebo=3)


@needs_tofu
@pytest.mark.parametrize(("split", "rows"), [("forget01", 40), ("forget05", 200), ("forget10", 400)])
def test_tofu_counts(split: str, rows: int) -> None:
    world = build("tofu", split=split, folder=str(DATA / "tofu"))
    assert [len(part) for part in (world.forget, world.retain_train, world.retain_eval)] == [rows, 400, 400]
    subjects = [{fact.subject for fact in part} for part in (world.forget, world.retain_train, world.retain_eval)]
    assert list(map(len, subjects)) == [rows // 20, 20, 20] and len(set.union(*subjects)) == rows // 20 + 40
    assert len({fact.id for fact in world.forget + world.retain_train + world.retain_eval}) == rows + 800
    for fact in world.forget:
        qa, paraphrase = fact.probes
        assert (qa.form, paraphrase.form) == ("qa", "paraphrase") and qa.answer == paraphrase.answer
        assert qa.prompt != paraphrase.prompt and len(qa.perturbed) == 5


@needs_tofu
def test_tofu_subjects_are_authors_and_seeds_redraw_retain_only() -> None:
    first, second = (build("tofu", seed=seed, split="forget01", folder=str(DATA / "tofu")) for seed in (0, 1))
    assert first.forget == second.forget and first.retain_train != second.retain_train
    answers = {fact.subject: " ".join(f.probes[0].answer for f in first.forget if f.subject == fact.subject)
               for fact in first.forget}  # fmt: skip
    assert {subject for subject, text in answers.items() if "Basil Mahfouz Al-Kuwaiti" in text} == {"author-198"}


def test_tofu_errors_name_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'forget05'"):
        build("tofu", split="forget5")
    with pytest.raises(InputError, match="set EXPUNGE_DATA"):
        build("tofu", folder=str(tmp_path))
    (tmp_path / "full.json").write_text('{"question": "Q"}\n')
    with pytest.raises(InputError, match="row 1: not a TOFU row"):
        build("tofu", folder=str(tmp_path))
