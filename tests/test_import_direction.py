"""A module imports only from packages named before its own in the design's list."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Packages in one tuple stand side by side: none of them imports another.
ORDER = (
    ("core",), ("registry",), ("models",), ("distributed",), ("knowledge",), ("scoring",),
    ("objectives", "scopes", "smoothing", "edits", "guards", "combine", "exact"),
    ("training",), ("builders",), ("methods",), ("attacks",), ("certificates",), ("metrics",), ("benchmarks",),
    ("audit",), ("study",), ("report",), ("api",), ("cli",),
)  # fmt: skip
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
SRC = Path(__file__).resolve().parents[1] / "src" / "expunge"
# The root package is the lazy surface, and __main__ is the command line.
EXEMPT = {"__init__", "__main__"}


def home(path: Path) -> str:
    """The top-level package or module below expunge that ``path`` belongs to."""
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names below expunge that a module imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [node.module or ""] if node.module != "expunge" else [f"expunge.{item.name}" for item in node.names]
        elif isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        else:
            continue
        yield from (name.removeprefix("expunge.") for name in names if name.startswith("expunge."))


def wrong(own: str, tree: ast.AST) -> list[str]:
    """Imports of ``own`` that point against the direction."""
    targets = (name.split(".")[0] for name in imported(tree))
    return [name for name in targets if name in RANK and name != own and RANK[name] >= RANK[own]]


MODULES = sorted(path for path in SRC.rglob("*.py") if home(path) not in EXEMPT)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_backwards(path: Path) -> None:
    assert wrong(home(path), ast.parse(path.read_text())) == []


def test_every_package_has_its_place() -> None:
    assert {home(path) for path in MODULES} <= set(RANK)


def test_a_forward_import_is_found() -> None:
    assert wrong("models", ast.parse("from expunge.training.loop import train")) == ["training"]
    assert wrong("scopes", ast.parse("def f():\n    import expunge.objectives.npo")) == ["objectives"]
    assert wrong("models", ast.parse("from expunge import study")) == ["study"]
    assert wrong("training", ast.parse("from expunge.objectives.base import Term")) == []
