"""The reading of a utility measure, shared by attacks and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UtilityReading:
    """``value`` in [0, 1] is the least of ``parts``; a part that was not measured is ``None``."""

    value: float
    parts: Mapping[str, float | None]
