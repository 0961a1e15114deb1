"""A method is a named sequence of stages that changes one model."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.methods.work import Work
from expunge.objectives.base import Intent


@dataclass(frozen=True, kw_only=True)
class Method:
    """Base of all registered methods (and of edits); sub-classes are frozen dataclasses of hyper-parameters."""

    paper: ClassVar[str] = ""
    intent: ClassVar[Intent] = "removal"
    family: ClassVar[str] = ""
    equation: ClassVar[str] = ""

    def streams(self) -> tuple[str, ...]:
        """Streams that the stages read."""
        raise NotImplementedError

    def passes(self) -> float:
        """About how many forward-backward passes a forget row costs for each of the settings' epochs."""
        return 2.0

    def alone(self) -> str:
        """Why it works on one process only; empty where a model that is spread over several will do.

        Weights are DTensors then: what is elementwise works as it stands, and what is not goes through
        :mod:`expunge.distributed.shards`.
        """
        return ""

    def run(self, work: Work) -> None:
        """Change ``work.loaded.model``; every training stage goes through :meth:`Work.train` or :meth:`Work.method`."""
        raise NotImplementedError
