"""Facts that were taught beside facts that no model was taught, as the six membership attacks score them.

Four scores are arithmetic on one teacher-forced pass over both sides, the reference score takes the same pass under the
control, the gradient norm a backward pass a row. Every pass is made when it is first used, and once.
"""

from collections.abc import Callable, Mapping, Sequence

from expunge.metrics.base import Evidence, Lender, Metric, Value
from expunge.metrics.beside import Beside
from expunge.metrics.gradient_norm import gradient_norms
from expunge.metrics.membership import Loss, MinK, MinKPlusPlus, ZlibLoss
from expunge.scoring.probes import Asked, ProbeScore, score_asked

Sides = tuple[list[Value], list[Value]]
Scored = tuple[Sequence[ProbeScore], Sequence[ProbeScore]]


class Membership(Beside):
    """Both sides under one model and, where there is one, under the control; see :data:`SCORES` for the scores.

    ``scored`` are the members' scores under the model where they are at hand; nothing is scored twice. Low scores say
    "member".
    """

    def __init__(
        self,
        members: Sequence[Asked],
        others: Sequence[Asked],
        end_ids: frozenset[int],
        model: Lender,
        control: Lender | None = None,
        scored: Sequence[ProbeScore] | None = None,
    ) -> None:
        super().__init__(model, control)
        self.asked = (members, others)
        self.end_ids = end_ids
        self._members = scored
        self._passes: dict[bool, Scored] = {}
        self._sides: dict[tuple[str, bool], Sides] = {}

    def sides(self, score: str, *, control: bool = False) -> Sides:
        """Scores of the members and of the others under the model, or under the control."""
        key = (score, control)
        if key not in self._sides:
            self._sides[key] = SCORES[score](self, control)
        return self._sides[key]

    def scored(self, control: bool) -> Scored:
        """The one pass: members and others, each side in batches of its own."""
        if control not in self._passes:
            view = self.model(control).view()
            known = None if control else self._members
            members = score_asked(view, self.asked[0]) if known is None else known
            self._passes[control] = (members, score_asked(view, self.asked[1]))
        return self._passes[control]


def _plain(metric: Metric) -> Callable[[Membership, bool], Sides]:
    """A score that is arithmetic on the pass."""

    def read(found: Membership, control: bool) -> Sides:
        members, others = (metric.rows(Evidence(side, end_ids=found.end_ids)) for side in found.scored(control))
        return members, others

    return read


def _reference(found: Membership, control: bool) -> Sides:
    """Mean NLL less the control's on the same tokens; 0 on every row for the control itself."""
    pairs = zip(found.scored(control), found.scored(True), strict=True)
    members, others = (
        [
            Value(one.fact.subject, one.score.nll_mean - base.score.nll_mean)
            for one, base in zip(own, bases, strict=True)
        ]
        for own, bases in pairs
    )
    return members, others


def _gradients(found: Membership, control: bool) -> Sides:
    """Gradient norms of the rows that have a label beside the end token."""
    view = found.model(control).view()
    members, others = ([item for item in side if _own(item, found.end_ids)] for side in found.asked)
    norms = iter(gradient_norms(view, [item.row for item in (*members, *others)], found.end_ids))
    sides = ([Value(item.fact.subject, next(norms)) for item in side] for side in (members, others))
    return next(sides), next(sides)


def _own(item: Asked, end_ids: frozenset[int]) -> bool:
    labels = [token for token, label in zip(item.row.ids, item.row.labels, strict=True) if label]
    return bool(labels[:-1]) or labels[-1] not in end_ids


SCORES: Mapping[str, Callable[[Membership, bool], Sides]] = {
    "loss": _plain(Loss()),
    "zlib": _plain(ZlibLoss()),
    "min_k": _plain(MinK()),
    "min_k_plus_plus": _plain(MinKPlusPlus()),
    "reference": _reference,
    "gradnorm": _gradients,
}
"""The attacks by the names that TOFU's evaluation gives them."""
