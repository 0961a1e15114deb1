"""Requirements on an audit, for pipelines: a verdict that every method must get, or a bound that it must keep."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from expunge.audit.verdict import Verdict
from expunge.core.errors import InconclusiveError, InputError, ThresholdError
from expunge.registry import suggestion

MEASURES: Mapping[str, str] = {
    "utility": "utility_before",
    "before": "before",
    "after": "after",
    "excess": "e_star",
}
"""What may be bounded, and where a method's entry of audit.json holds it."""
_BOUND = re.compile(r"([a-z]+)\s*(<=|>=)\s*(\d*\.?\d+)")
_SIDES: Mapping[str, tuple[str, Callable[[float, float], bool]]] = {
    "<=": ("high", operator.le),
    ">=": ("low", operator.ge),
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """``forgotten`` (or another verdict), or a bound such as ``utility>=0.9`` or ``excess<=0.1``.

    A bound must hold for the far end of the interval: the upper one of ``<=``, the lower one of ``>=``.
    """

    text: str
    measure: str
    relation: str = ""
    bound: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Read one requirement; :class:`InputError` when it is neither a verdict nor a bound."""
        verdicts = get_args(Verdict)
        if text in verdicts:
            return cls(text, text)
        found = _BOUND.fullmatch(text.strip())
        if found is None or found[1] not in MEASURES:
            known = [*verdicts, *(f"{name}<=NUMBER" for name in MEASURES)]
            raise InputError(f"cannot read the requirement {text!r}; {suggestion(text, known)}")
        return cls(text, found[1], found[2], float(found[3]))

    def check(self, world: str, method: Mapping[str, Any]) -> None:
        """Raise :class:`ThresholdError` when one method falls short, :class:`InconclusiveError` when nobody knows."""
        where = f"{world}, {method['label']}: {self.text} is required, but"
        if not self.relation:
            self._verdict(where, method["verdict"])
            return
        end, holds = _SIDES[self.relation]
        found = method[MEASURES[self.measure]]
        value = found[end] if isinstance(found, Mapping) else found
        if value is None:
            raise InconclusiveError(f"{where} {self.measure} was not measured.")
        if not holds(value, self.bound):
            raise ThresholdError(f"{where} {self.measure} may be {value:.3g}.")

    def _verdict(self, where: str, verdict: str) -> None:
        if verdict == self.measure:
            return
        error = InconclusiveError if verdict == "inconclusive" else ThresholdError
        raise error(f"{where} the verdict is {verdict}.")


def check(audit: Mapping[str, Any], requirements: Sequence[Requirement]) -> None:
    """Check every requirement on every method of every world.

    Shortfalls come before missing evidence: :class:`ThresholdError` wins over :class:`InconclusiveError`.
    """
    unknown: InconclusiveError | None = None
    for requirement in requirements:
        for world in audit["worlds"]:
            for method in world["methods"]:
                try:
                    requirement.check(world["label"], method)
                except InconclusiveError as error:
                    unknown = unknown or error
    if unknown is not None:
        raise unknown
