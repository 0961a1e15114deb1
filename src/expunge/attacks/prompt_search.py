"""Loss-guided prompt search: propose prompts, keep those that make T's answers likelier, go on from these."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import ClassVar

from expunge.attacks.mutations import QUESTION, Propose, Scored, mutations
from expunge.attacks.prompting import Try
from expunge.attacks.tuned import TunedPrompt, Wording, typed
from expunge.attacks.variants import Material, Variant, is_raw
from expunge.core.seeds import derive
from expunge.models.load import LoadedModel
from expunge.registry import attack
from expunge.scoring.containment import contains
from expunge.scoring.probes import Asked
from expunge.scoring.teacher_forced import score


@dataclass(frozen=True)
class Beam:
    """A search over patterns; ``loss`` gives those of several at once.

    Every round tries the first ``proposals`` new patterns that ``propose`` names and keeps the ``beam`` best of all.
    """

    loss: Callable[[Sequence[str]], list[float]]
    propose: Propose
    proposals: int
    beam: int
    stream: random.Random = field(repr=False)

    def path(self, rounds: int) -> list[Scored]:
        """The best pattern after 0, 1 … ``rounds`` rounds, from the bare question on; the loss never rises."""
        kept = [Scored(QUESTION, self.loss([QUESTION])[0])]
        path, known = [kept[0]], {QUESTION}
        for _ in range(rounds):
            named = dict.fromkeys(map(whole, self.propose(tuple(kept), self.stream)))
            fresh = [pattern for pattern in named if pattern not in known][: self.proposals]
            known.update(fresh)
            losses = self.loss(fresh) if fresh else []
            kept += [Scored(*pair) for pair in zip(fresh, losses, strict=True)]
            kept = sorted(kept, key=lambda scored: scored.loss)[: self.beam]
            path.append(kept[0])
        return path


def whole(proposal: str) -> str:
    """A pattern that asks the question once: a proposal that does not name it stands before it."""
    if QUESTION not in proposal:
        return f"{proposal.strip()}\n{QUESTION}"
    before, _, after = proposal.partition(QUESTION)
    return f"{before}{QUESTION}{after.replace(QUESTION, '')}"


def worded(pattern: str, asked: Asked) -> Variant:
    """The question in that pattern."""
    prompt = pattern.replace(QUESTION, asked.probe.prompt)
    return Variant(prompt, asked.probe.answer, raw=is_raw(asked))


@attack("prompt_search")
@dataclass(frozen=True, kw_only=True)
class PromptSearch(TunedPrompt):
    """Prompts found by search: the attacker sees the log-probability of T's true answers, and no weights.

    Sabbaghi et al. (arXiv 2502.01633) let language models write, criticise and rewrite prompts under the loss of a
    wished-for answer and keep the best so far; here the answer is the true one. ``propose`` is any function in Python
    that names new patterns, with ``{q}`` where the question stands; without one, lines of a bank are put around the
    question (:func:`mutations`). ``budgets`` count rounds (theirs: 15). ``proposals`` = 16 patterns a round are theirs;
    so is ``beam`` = 32, what is kept to go on from. A pattern that shows an answer of T is never kept: it would help
    with that question and with no other (our choice).
    """

    name: ClassVar[str] = "prompt_search"
    paper: ClassVar[str] = "Sabbaghi et al. 2025, arXiv 2502.01633"
    needs: ClassVar[tuple[str, ...]] = ("T", "outputs", "logprobs")

    budgets: tuple[int, ...] = (1, 4, 16)
    proposals: int = 16
    beam: int = 32
    propose: Propose | None = None

    def __post_init__(self) -> None:
        """Refuse rounds without proposals and an empty beam."""
        TunedPrompt.__post_init__(self)
        self.at_least_one("proposals", "beam")

    def wordings(self, holder: LoadedModel, taught: Sequence[Asked], material: Material) -> Mapping[int, Wording]:
        """The best pattern after each budget of rounds."""
        stream = random.Random(derive(material.seed, self.name, "search"))
        loss = partial(losses, holder, taught)
        path = Beam(loss, self.propose or mutations, self.proposals, self.beam, stream).path(self.budgets[-1])
        return {n: typed(material.encoder, partial(worded, path[n].pattern)) for n in self.budgets}


def losses(loaded: LoadedModel, taught: Sequence[Asked], patterns: Sequence[str]) -> list[float]:
    """The loss of each pattern; all of them are scored in one pass."""
    tried = [_tries(loaded, taught, pattern) for pattern in patterns]
    scores = iter(score(loaded.view(), [attempt.row for tries in tried for attempt in tries]))
    return [fmean(next(scores).nll_sum for _ in tries) if tries else math.inf for tries in tried]


def _tries(loaded: LoadedModel, taught: Sequence[Asked], pattern: str) -> list[Try]:
    """T's questions in that pattern; none where one does not fit the context, or the pattern shows an answer."""
    put = typed(loaded.encoder, partial(worded, pattern))
    tries = [attempt for item in taught if (attempt := put(item)) is not None]
    shows = any(contains(pattern, item.probe.answer) for item in taught)
    return tries if len(tries) == len(taught) and not shows else []
