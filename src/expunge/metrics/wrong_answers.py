"""Questions with their wrong answers beside the right one, scored when a metric first reads them, and once."""

from collections.abc import Sequence

from expunge.metrics.base import Lender
from expunge.metrics.beside import Beside
from expunge.scoring.probes import Asked, ProbeScore, score_asked


class WrongAnswers(Beside):
    """One question a fact: its probe as it is asked, and that probe with each wrong answer (``perturbed_answer``)."""

    def __init__(self, asked: Sequence[Asked], model: Lender, control: Lender | None = None) -> None:
        super().__init__(model, control)
        self.asked = asked
        self._passes: dict[bool, Sequence[ProbeScore]] = {}

    def scored(self, *, control: bool = False) -> Sequence[ProbeScore]:
        """All answers under the model, or under the control; :class:`InputError` where there is none."""
        if control not in self._passes:
            self._passes[control] = score_asked(self.model(control).view(), self.asked)
        return self._passes[control]
