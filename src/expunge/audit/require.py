"""Requirements on an audit, for pipelines: a verdict that every method must get, or a bound that it must keep."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from expunge.audit.verdict import Verdict
from expunge.core.errors import ExpungeError, InconclusiveError, InputError, ThresholdError
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

    def unmet(self, world: str, method: Mapping[str, Any]) -> ExpungeError | None:
        """What one method lacks: :class:`ThresholdError`, or :class:`InconclusiveError` when nobody knows."""
        where = f"{world}, {method['label']}: {self.text} is required, but"
        if not self.relation:
            return self._verdict(where, method["verdict"])
        end, holds = _SIDES[self.relation]
        found = method[MEASURES[self.measure]]
        value = found[end] if isinstance(found, Mapping) else found
        if value is None:
            return InconclusiveError(f"{where} {self.measure} was not measured.")
        return None if holds(value, self.bound) else ThresholdError(f"{where} {self.measure} may be {value:.3g}.")

    def _verdict(self, where: str, verdict: str) -> ExpungeError | None:
        if verdict == self.measure:
            return None
        error = InconclusiveError if verdict == "inconclusive" else ThresholdError
        return error(f"{where} the verdict is {verdict}.")


def unmet(audit: Mapping[str, Any], requirements: Sequence[Requirement]) -> ExpungeError | None:
    """The first shortfall over every requirement, world and method; where none falls short, what nobody knows."""
    found = [
        error
        for requirement in requirements
        for world in audit["worlds"]
        for method in world["methods"]
        if (error := requirement.unmet(world["label"], method)) is not None
    ]
    return min(found, key=lambda error: isinstance(error, InconclusiveError), default=None)
