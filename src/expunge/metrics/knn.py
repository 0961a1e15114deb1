"""Nearest neighbours in hidden space: do subjects with the same answer lie together?

Shapes: R rows, L layers, D hidden width.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading, Value, interval
from expunge.metrics.layers import questions
from expunge.registry import metric
from expunge.scoring.label_states import opening, question_states
from expunge.scoring.probes import Asked


@metric("knn_answer")
@dataclass(frozen=True, kw_only=True)
class KNNAnswer(Metric):
    """Share of layers at which a question's nearest neighbours give its answer's first token.

    After Kim et al. (arXiv 2503.06991), whose features are classified by 5 nearest neighbours under the cosine. Here a
    feature is a block output right before the answer; neighbours are the same attribute's questions about *other*
    subjects (in place of an 80/20 split). Each votes for the first token of its own answer; among equal votes the
    nearest wins. A question is judged where another subject's answer begins with the same token. ``layers`` hold the
    share of questions that are right at each layer. ``neighbours``: theirs is 5. ``samples``: at most so many
    questions (our choice). A model that never saw the facts gets what common first tokens give.
    """

    needs: ClassVar[tuple[Need, ...]] = ("asked", "model")
    costly: ClassVar[bool] = True

    neighbours: int = 5
    samples: int = 512

    def __post_init__(self) -> None:
        """Refuse an empty choice."""
        if self.neighbours < 1 or self.samples < 2:
            raise InputError("knn_answer needs neighbours ≥ 1 and samples ≥ 2; raise them.")

    def rows(self, evidence: Evidence) -> list[Value]:
        """The share of layers, one a question."""
        asked, hits_RL = self._hits(evidence)
        means = hits_RL.mean(1).tolist() if len(asked) else []
        return [Value(item.fact.subject, value) for item, value in zip(asked, means, strict=True)]

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The mean over questions with its interval, and the layers."""
        if (lack := self.lacking(evidence)) is not None:
            return lack
        asked, hits_RL = self._hits(evidence)
        if not asked:
            return Reading(None, reason="not computed: no answer begins like another subject's of the same attribute.")
        pairs = zip(asked, hits_RL.mean(1).tolist(), strict=True)
        found = interval([Value(item.fact.subject, value) for item, value in pairs], proportion=False, seed=seed)
        return replace(found, layers=tuple(hits_RL.mean(0).tolist()))

    def _hits(self, evidence: Evidence) -> tuple[list[Asked], Tensor]:
        """The questions that are judged, and whether each is right at each layer."""
        assert evidence.model is not None
        view, groups = evidence.model.view(), defaultdict(list)
        layers = range(view.anatomy.num_layers)
        for item in questions(evidence, self.samples):
            groups[item.fact.attribute].append(item)
        asked: list[Asked] = []
        votes: list[list[bool]] = []
        for members in groups.values():
            rivals = {place: _rivals(place, members) for place in range(len(members))}
            judged = [place for place, others in rivals.items() if _can_win(members, place, others)]
            if judged:
                states = question_states(view, [item.row for item in members], layers).unbind(1)
                votes += [[self._right(each, members, place, rivals[place]) for each in states] for place in judged]
                asked += [members[place] for place in judged]
        return asked, torch.tensor(votes, dtype=torch.float64)

    def _right(self, states_RD: Tensor, members: Sequence[Asked], place: int, rivals: Sequence[int]) -> bool:
        """Whether the vote of the nearest is the question's own first token."""
        near_K = functional.cosine_similarity(states_RD[list(rivals)], states_RD[place][None], dim=1)
        order = near_K.sort(descending=True, stable=True).indices[: self.neighbours].tolist()
        votes = Counter(first_token(members[rivals[index]]) for index in order)
        return votes.most_common(1)[0][0] == first_token(members[place])


def first_token(item: Asked) -> int:
    """The first label token."""
    return opening(item.row).ids[-1]


def _rivals(place: int, members: Sequence[Asked]) -> list[int]:
    own = members[place].fact.subject
    return [index for index, other in enumerate(members) if other.fact.subject != own]


def _can_win(members: Sequence[Asked], place: int, rivals: Sequence[int]) -> bool:
    return any(first_token(members[rival]) == first_token(members[place]) for rival in rivals)
