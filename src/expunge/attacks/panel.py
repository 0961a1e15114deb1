"""What is read at every attack point: V, T and further sets in one scoring pass, then utility."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from expunge.attacks.base import ProbeReading, UtilityMeasure
from expunge.attacks.saying import Hear
from expunge.models.view import View
from expunge.scoring.probes import Asked, ProbeScore, score_asked
from expunge.scoring.utility_reading import UtilityReading


@dataclass(frozen=True, slots=True)
class PanelReading:
    """One model seen through a panel."""

    utility: UtilityReading
    t_recall: float
    probes: tuple[ProbeReading, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Encoded probes by set name (``V``, ``T`` and others) and the utility measure; encoded once an attack.

    ``hear``: how the hits of all sets but T are judged where they are not greedy matches.
    """

    sets: Mapping[str, Sequence[Asked]]
    utility: UtilityMeasure
    hear: Hear | None = None

    def read(self, view: View) -> PanelReading:
        """Score every set in one pass and measure utility."""
        labels = [name for name, asked in self.sets.items() for _ in asked]
        scored = score_asked(view, [item for asked in self.sets.values() for item in asked])
        pairs = list(zip(scored, labels, strict=True))
        recall = mean_recall([item for item, label in pairs if label == "T"])
        readings = tuple(ProbeReading.of(item, label) for item, label in pairs)
        return PanelReading(self.utility(view), recall, self._heard(view, readings))

    def _heard(self, view: View, readings: tuple[ProbeReading, ...]) -> tuple[ProbeReading, ...]:
        """The readings with the hits of what was written."""
        if self.hear is None:
            return readings
        asked = [item for name, items in self.sets.items() if name != "T" for item in items]
        hits = iter(self.hear(view, asked))
        return tuple(item if item.split == "T" else replace(item, hit=next(hits)) for item in readings)


def mean_recall(scored: Sequence[ProbeScore]) -> float:
    """Mean greedy match; a document counts the share of its tokens that are the argmax, as no one asks for it whole."""
    return sum(_recalled(item) for item in scored) / len(scored)


def _recalled(item: ProbeScore) -> float:
    return float(item.score.greedy) if item.probe.prompt else sum(item.score.hits) / len(item.score.hits)
