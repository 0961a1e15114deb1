"""A cell: one unit of a study, a pure function of its resolved config and its input cells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from expunge.core.files import stable_hash


@dataclass(frozen=True, eq=False)
class Cell:
    """``kind`` names the module in ``study/kinds`` that computes it, ``config`` is plain JSON, ``inputs`` are cells.

    ``by_content`` are inputs whose *relevant content* is hashed in ``config`` already: two worlds that agree on what
    a cell reads then share it. ``label`` is for people and is not part of the identity.
    """

    kind: str
    config: Mapping[str, Any]
    inputs: Mapping[str, "Cell"] = field(default_factory=dict)
    by_content: frozenset[str] = frozenset()
    label: str = ""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of kind, config and inputs."""
        inputs = {name: cell.hash for name, cell in self.inputs.items() if name not in self.by_content}
        return stable_hash({"kind": self.kind, "config": self.config, "inputs": inputs})

    @property
    def folder(self) -> str:
        """The name of the cell's folder."""
        return f"{self.kind}-{self.hash[:12]}"

    def task(self, processes: int = 1) -> "Task":
        """The cell as its worker needs it, to be shared by so many ``processes`` where its kind can be."""
        inputs = {name: cell.folder for name, cell in self.inputs.items()}
        return Task(self.kind, self.label, self.hash, self.config, inputs, processes)


@dataclass(frozen=True, slots=True)
class Task:
    """A cell on its own: plain values only, inputs as folder names. It travels to worker processes as JSON.

    ``processes`` change nothing but who computes, and are no part of what the cell is.
    """

    kind: str
    label: str
    hash: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    processes: int = 1

    @property
    def folder(self) -> str:
        """The name of the cell's folder."""
        return f"{self.kind}-{self.hash[:12]}"

    def as_dict(self) -> dict[str, Any]:
        """What ``config.yaml`` holds."""
        plain = {"kind": self.kind, "label": self.label, "hash": self.hash}
        return {**plain, "config": dict(self.config), "inputs": dict(self.inputs)}


class Placed(Protocol):
    """A cell or a task: all that is needed to find its folder."""

    @property
    def folder(self) -> str:
        """The name of the cell's folder."""
        ...


def in_order(targets: Iterable[Cell]) -> tuple[Cell, ...]:
    """The targets and everything they stand on, each once, inputs before what reads them."""
    found: dict[str, Cell] = {}

    def visit(cell: Cell) -> None:
        if cell.folder in found:
            return
        for item in cell.inputs.values():
            visit(item)
        found[cell.folder] = cell

    for target in targets:
        visit(target)
    return tuple(found.values())
