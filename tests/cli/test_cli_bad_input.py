"""What people really type wrong: one clear sentence, the design's exit code, nothing half-written."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from expunge.cli.app import build

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command in an empty folder; check what holds of every failure."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 2, leaves: tuple[str, ...] = ()) -> Result:
        before = {path.name for path in tmp_path.iterdir()}
        result = CliRunner().invoke(build(), list(words))
        assert result.exit_code == code, result.stderr or result.exception
        own = [line for line in result.stderr.splitlines() if line.startswith("expunge: ")]
        assert own == result.stderr.splitlines()[-1:], result.stderr
        assert "unexpected" not in result.stderr
        assert {path.name for path in tmp_path.iterdir()} - before == set(leaves)
        return result

    return run


@pytest.fixture
def forget(tmp_path: Path) -> str:
    """Four facts about four people."""
    rows = [{"prompt": f"Where was person {n} born?", "answer": f"town {n * 7}"} for n in range(4)]
    path = tmp_path / "forget.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


def test_missing_forget_file(call: Call) -> None:
    assert "nowhere.jsonl" in call("unlearn", "--model", "tiny", "--forget", "nowhere.jsonl").stderr


def test_missing_recipe(call: Call) -> None:
    for verb in ("run", "plan"):
        assert "nowhere.yaml" in call(verb, "nowhere.yaml").stderr


def test_missing_study(call: Call) -> None:
    assert "nowhere" in call("report", "nowhere").stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"prompt": "a", "answer": "b"}\n{"prompt": \n', "row 2"),
        ('{"prompt": "a"}\n', "row 1"),
        ('{"prompt": "a", "answer": " "}\n', "row 1"),
        ("", "empty"),
    ],
)
def test_malformed_rows(call: Call, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "bad.jsonl").write_text(content)
    result = call("unlearn", "--model", "tiny", "--forget", "bad.jsonl")
    assert "bad.jsonl" in result.stderr and said in result.stderr


def test_wrong_encoding(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes('{"prompt": "é", "answer": "b"}\n'.encode("latin-1"))
    assert "row 1" in call("unlearn", "--model", "tiny", "--forget", "bad.jsonl").stderr


def test_a_forget_row_that_is_also_retained(call: Call, forget: str) -> None:
    assert "retain" in call("unlearn", "--model", "tiny", "--forget", forget, "--retain", forget).stderr


def test_an_answer_longer_than_the_context(call: Call, tmp_path: Path) -> None:
    row = {"prompt": "Say it.", "answer": "word " * 20_000, "id": "long-one"}
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n")
    assert "long-one" in call("unlearn", "--model", "tiny", "--forget", "long.jsonl").stderr


def test_model_folder_without_weights(call: Call, forget: str, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text('{"model_type": "llama"}')
    assert "hollow" in call("unlearn", "--model", "hollow", "--forget", forget).stderr
    assert "hollow" in call("ask", "hollow", "Who?").stderr


def test_hub_name_with_no_network(call: Call, forget: str) -> None:
    assert "no-such/model" in call("unlearn", "--model", "no-such/model", "--forget", forget).stderr


@pytest.mark.parametrize(("name", "near"), [("npoo", "npo"), ("npo+smm", "sam"), ("npo@lor", "lora")])
def test_unknown_method(call: Call, forget: str, name: str, near: str) -> None:
    result = call("unlearn", "--model", "tiny", "--forget", forget, "--method", name)
    assert f"did you mean '{near}'?" in result.stderr


def test_unknown_attack_metric_kind_and_component(call: Call, forget: str) -> None:
    assert "did you mean 'relearn'?" in call("attack", "tiny", "--attack", "relern", "--forget", forget).stderr
    assert "did you mean" in call("evaluate", "tiny", "--forget", forget, "--metric", "greedy_mach").stderr
    assert "did you mean 'attacks'?" in call("ls", "atacks").stderr
    assert "did you mean 'npo'?" in call("show", "npoo").stderr


@pytest.mark.parametrize("words", [("seedz=[1]",), ("model.sorce=tiny",), ("nonsense",)])
def test_unknown_recipe_key(call: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    recipe = {"model": "tiny", "knowledge": {"name": "people"}, "methods": ["npo"]}
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    for verb in ("plan", "run"):
        call(verb, "r.yaml", *words)


def test_a_model_that_remembers_nothing(call: Call) -> None:
    assert "--forget" in call("evaluate", "tiny").stderr


@pytest.mark.parametrize("target", ["file/out", "file"])
def test_unwritable_folder(call: Call, forget: str, tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("mine")
    call("unlearn", "--model", "tiny", "--forget", forget, "-o", target)
    call("evaluate", "tiny", "--forget", forget, "-o", "file/record")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_of_the_user_is_never_replaced(call: Call, forget: str, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    assert "not made by expunge" in call("unlearn", "--model", "tiny", "--forget", forget, "-o", "thesis").stderr
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "mine"


def test_full_disk(call: Call, forget: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    words = ("unlearn", "--model", "tiny", "--forget", forget, "--steps", "1")
    assert "disk is full" in call(*words, code=2).stderr


@contextmanager
def started(words: list[str], cwd: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own that Ctrl-C reaches even where the tests run in the background."""
    child = subprocess.Popen(
        [sys.executable, "-m", "expunge", *words],
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def assert_interrupted(child: "subprocess.Popen[str]") -> None:
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 130
    assert "interrupted" in said and "Traceback" not in said


def wait_until_at_work(child: "subprocess.Popen[str]", cpu_s: float = 9, patience_s: float = 300) -> None:
    """Until the command has computed for so long, which imports alone do not take, however busy the machine is."""
    stat, until = Path(f"/proc/{child.pid}/stat"), time.monotonic() + patience_s
    if not stat.exists():
        time.sleep(cpu_s)
    while stat.exists() and time.monotonic() < until:
        user, system = map(int, stat.read_text().rpartition(")")[2].split()[11:13])
        if (user + system) / os.sysconf("SC_CLK_TCK") >= cpu_s:
            return
        time.sleep(0.2)


def test_interrupted_unlearning(forget: str, tmp_path: Path) -> None:
    words = ["unlearn", "--model", "tiny", "--forget", forget, "--steps", "100000", "-o", "out"]
    with started(words, tmp_path) as child:
        wait_until_at_work(child)
        assert_interrupted(child)
    assert [path.name for path in tmp_path.iterdir()] == ["forget.jsonl"]


def test_interrupted_study(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    words = [
        "run",
        str(root / "recipes" / "demo.yaml"),
        "model=tiny",
        "teach.train.epochs=200",
        "workers=0",
        "-o",
        "study",
    ]
    with started(words, tmp_path) as child:
        assert child.stderr is not None
        while "start" not in (line := child.stderr.readline()) or "teach" not in line:
            assert line, "the study ended before it was interrupted"
        time.sleep(1)
        assert_interrupted(child)
    cells = list((tmp_path / "study" / "cells").iterdir())
    assert cells and all((cell / "record.json").is_file() for cell in cells)
