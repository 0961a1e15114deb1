"""Questions with their wrong answers beside the right one, scored when a metric first reads them, and once."""

from collections.abc import Sequence

from expunge.core.errors import InputError
from expunge.metrics.base import Lender
from expunge.scoring.probes import Asked, ProbeScore, score_asked


class WrongAnswers:
    """One question a fact: its probe as it is asked, and that probe with each wrong answer (``perturbed_answer``)."""

    def __init__(self, asked: Sequence[Asked], model: Lender, control: Lender | None = None) -> None:
        self.asked = asked
        self._models = {False: model, True: control}
        self._passes: dict[bool, Sequence[ProbeScore]] = {}

    def scored(self, *, control: bool = False) -> Sequence[ProbeScore]:
        """All answers under the model, or under the control; :class:`InputError` where there is none."""
        lender = self._models[control]
        if lender is None:
            raise InputError("no model that never knew the facts is at hand.")
        if control not in self._passes:
            self._passes[control] = score_asked(lender.view(), self.asked)
        return self._passes[control]
