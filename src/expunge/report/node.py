"""A JSON object that can name what is missing in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.report.shapes import Interval


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON object that knows where it stands, so that a missing key can be named."""

    path: Path
    where: str
    data: Any

    def __getitem__(self, key: str) -> Any:
        if not isinstance(self.data, dict) or key not in self.data:
            raise InputError(f"{self.path.name} has no {key!r} at {self.where}; run the audit again.")
        return self.data[key]

    def get(self, key: str) -> Any:
        """The value, or None where the key is absent."""
        return self.data.get(key) if isinstance(self.data, dict) else None

    def node(self, key: str) -> "Node":
        """The object under ``key``."""
        return Node(self.path, f"{self.where}.{key}", self[key])

    def nodes(self, key: str) -> list["Node"]:
        """The objects of the list under ``key``."""
        return [Node(self.path, f"{self.where}.{key}[{index}]", item) for index, item in enumerate(self[key])]

    def interval(self, key: str) -> Interval:
        """The interval under ``key``; ends that are not known are the value."""
        node = self.node(key)
        value, ends = float(node["value"]), (node["low"], node["high"])
        return Interval(value, *(value if end is None else float(end) for end in ends))

    def maybe(self, key: str) -> Interval | None:
        """The interval under ``key``, or None where there is none."""
        return None if self.get(key) is None else self.interval(key)
