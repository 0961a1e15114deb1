"""Every way a command can fail is one sentence and one exit code; no traceback unless asked for."""

import errno
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from expunge.cli import app as application
from expunge.cli.failures import explain
from expunge.core.errors import ExpungeError, InconclusiveError, InputError, ThresholdError

FAILURES = [
    (ExpungeError("a cell failed."), 1, "a cell failed."),
    (InputError("row 3\nis   empty."), 2, "row 3 is empty."),
    (ThresholdError("short."), 3, "short."),
    (InconclusiveError("unclear."), 4, "unclear."),
    (KeyboardInterrupt(), 130, "interrupted"),
    (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 2, "/x/y: the disk is full"),
    (OSError(errno.EACCES, "Permission denied", "/x/y"), 2, "/x/y: permission denied"),
    (OSError(errno.EIO, "Input/output error"), 2, "Input/output error"),
    (MemoryError(), 1, "memory ran out"),
    (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("error", "code", "sentence"), FAILURES, ids=lambda value: type(value).__name__)
def test_a_failure_is_a_sentence_and_a_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    def fail(path: Path) -> None:
        raise error

    monkeypatch.setattr(application, "load_plugin", fail)
    result = CliRunner().invoke(application.build(), ["--plugin", "p.py", "ls"])
    assert result.exit_code == code
    assert result.stderr.startswith("expunge: ") and sentence in result.stderr
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.stderr
    assert result.stdout == ""


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise InputError("bad.")

    monkeypatch.setattr(application, "load_plugin", fail)
    result = CliRunner().invoke(application.build(), ["--traceback", "--plugin", "p.py", "ls"])
    assert isinstance(result.exception, InputError)


@pytest.mark.parametrize("error", [typer.Exit(3), typer.Abort(), typer.BadParameter("no"), SystemExit(5)])
def test_what_typer_handles_is_left_to_it(error: BaseException) -> None:
    assert explain(error) is None


@pytest.mark.parametrize("arguments", [["unlearn"], ["nonsense"], ["run"], ["unlearn", "--steps", "many"]])
def test_usage_errors_give_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(application.build(), arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
