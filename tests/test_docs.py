"""What the documentation shows is what there is: commands parse, recipes load, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from expunge.cli.app import build

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
PLACEHOLDERS = {"…", "key.sub=value"}


def blocks(language: str) -> list[tuple[str, str]]:
    """Page name and text of every fenced block of a language."""
    return [(path.name, text) for path in PAGES for kind, text in BLOCK.findall(path.read_text()) if kind == language]


def commands() -> list[str]:
    """Every line of a shell block that calls expunge."""
    lines = [line.split(" #")[0].strip() for _, text in blocks("sh") for line in text.splitlines()]
    return sorted({line for line in lines if line.startswith("expunge ")})


@pytest.mark.parametrize("line", commands())
def test_shown_commands_parse(line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word not in PLACEHOLDERS]
    group = typer.main.get_command(build())
    context = group.make_context("expunge", words)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None and name is not None
    command.make_context(name, list(rest), parent=context)


def test_there_are_commands_to_parse() -> None:
    assert any("unlearn" in line for line in commands())


@pytest.mark.parametrize(("page", "text"), [pytest.param(*item, id=item[0]) for item in blocks("json")])
def test_shown_rows_are_read(page: str, text: str, tmp_path: Path) -> None:
    from expunge.knowledge.jsonl import read_facts

    (tmp_path / "rows.jsonl").write_text(text)
    assert len(read_facts(tmp_path / "rows.jsonl")) == len(text.strip().splitlines())


def test_shown_recipes_are_read(tmp_path: Path) -> None:
    import yaml

    from expunge.study.recipe import load

    methods = [yaml.safe_load(text) for _, text in blocks("yaml")]
    whole = next(block for block in methods if "model" in block)
    for block in methods:
        assert load({**whole, "name": "shown", **block}).methods


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {name for _, text in blocks("sh") for name in re.findall(r"^make (\w+)", text, re.MULTILINE)}
    assert shown <= targets and {"demo", "test"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
