"""The README's commands from end to end, on a random tiny model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expunge.cli.app import build

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "model=tiny", "teach.train.epochs=1", "teach.forget.epochs=1", "unlearn.train.steps=2", "attacks.0.steps=[1,2]",
    "attacks.0.rates=[1e-3]", "eval.samples=4", "workers=0", "threads=1",
)  # fmt: skip


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(build(), list(words))
    assert result.exit_code == code, result.stderr or result.exception
    return result.stdout


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo recipe, run small; its folder and what was printed."""
    folder = tmp_path_factory.mktemp("study") / "demo"
    return folder, call("run", str(ROOT / "recipes" / "demo.yaml"), *SMALL, "-o", str(folder))


def test_a_run_ends_with_the_verdicts_and_the_report(study: tuple[Path, str]) -> None:
    folder, said = study
    assert "verdict" in said and "NPO+SAM" in said
    assert said.strip().splitlines()[-1] == f"report: {folder / 'report.html'}"
    assert (folder / "report.html").is_file() and (folder / "report.md").is_file()
    assert {world["label"] for world in json.loads((folder / "audit.json").read_text())["worlds"]}


def test_running_again_runs_nothing(study: tuple[Path, str]) -> None:
    folder, _ = study
    before = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/record.json")}
    call("run", str(ROOT / "recipes" / "demo.yaml"), *SMALL, "-o", str(folder))
    assert {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/record.json")} == before


def test_plan_shows_what_is_done(study: tuple[Path, str]) -> None:
    folder, _ = study
    said = call("plan", str(ROOT / "recipes" / "demo.yaml"), *SMALL, "-o", str(folder))
    number = len(list(folder.glob("cells/*")))
    assert f"{number} of {number} cells are done" in " ".join(said.split())


def test_the_report_is_rebuilt(study: tuple[Path, str]) -> None:
    folder, _ = study
    (folder / "report.html").unlink()
    assert str(folder / "report.html") in call("report", str(folder))
    assert (folder / "report.html").is_file()


def test_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, start in (("forget", 0), ("retain", 10)):
        rows = [{"prompt": f"Where was person {n} born?", "answer": f"town {n * 7}"} for n in range(start, start + 6)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("--forget", "forget.jsonl", "--retain", "retain.jsonl", "--method", "npo+sam", "--steps", "2")
    assert "model: out" in call("unlearn", "--model", "tiny", *words, "-o", "out/")
    assert "Where" in call("ask", "out/", "Where was person 1 born?", "--beside", "tiny", "--max-new-tokens", "3")
    assert "forget/greedy_match" in call("evaluate", "out/")
    assert "qa/full/0.001/1" in call("attack", "out/", "--attack", "relearn", "--rate", "0.001", "--steps", "1")


def test_ls_and_show() -> None:
    assert "npo" in call("ls", "methods") and "relearn" in call("ls")
    assert "hyper-parameters" in call("show", "npo")
