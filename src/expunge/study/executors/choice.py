"""Which executor a recipe or a command names, and its options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge import registry
from expunge.core.errors import InputError
from expunge.study.executors.base import Backend

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Choice:
    """An executor's name and options. It says where cells run, so it is no part of any cell."""

    name: str = LOCAL
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: Any) -> "Choice":
        """From ``ray`` or ``{name: ray, gpus: 1}``; :class:`InputError` for an unknown executor or option."""
        given = {"name": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping):
            raise InputError("'executor' must be a name, or a mapping such as {name: slurm, gpus: 1}; rewrite it.")
        options = {str(key): entry for key, entry in given.items() if key != "name"}
        choice = cls(str(given.get("name", LOCAL)), options)
        choice.build()
        return choice

    def as_dict(self) -> dict[str, Any]:
        """Plain values; :meth:`parse` of it gives the same choice."""
        return {"name": self.name, **self.options}

    def build(self) -> Backend:
        """The executor's component."""
        made: Backend = registry.build("executor", self.name, **self.options)
        return made
