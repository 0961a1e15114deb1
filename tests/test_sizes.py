"""One idea a file, and functions that fit on a screen: caps, not aims."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE_CAP, FUNCTION_CAP = 500, 80
FILES = sorted(path for top in ("src", "tests", "perf", "docs") for path in (ROOT / top).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_caps(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= FILE_CAP
    assert [(name, lines) for name, lines in functions(ast.parse(text)) if lines > FUNCTION_CAP] == []


@pytest.mark.parametrize("path", [path for path in FILES if "src" in path.parts], ids=lambda path: path.stem)
def test_library_code_does_not_print(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


def test_a_long_function_is_found() -> None:
    tree = ast.parse("def f():\n" + "    x = 1\n" * FUNCTION_CAP)
    assert list(functions(tree)) == [("f", FUNCTION_CAP + 1)]
