"""One training run: the sentence g = smoothing(∇forget) + Σ λ·∇(keep, extra); project; clip; step."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from expunge.core.seeds import derive
from expunge.distributed.ranks import Ranks
from expunge.distributed.rows import shares
from expunge.distributed.sharding import check_precision, ranks_of
from expunge.distributed.shards import locals_of
from expunge.models.rows import Row
from expunge.objectives.base import Objective, ReferenceReader, State, Term
from expunge.objectives.keep import nll_term
from expunge.scopes.base import Prepared
from expunge.smoothing.base import Smoother, SmoothingState, global_norm
from expunge.training.batches import MicroBatch, Plan, micro_rows
from expunge.training.config import TrainConfig
from expunge.training.errors import Diverged, NothingMoved
from expunge.training.optimizer import clip_, decay_, optimizer_of, scheduler_of
from expunge.training.passes import TermsOf, put_grads, role_pass
from expunge.training.precision import Precision, computing, seeded
from expunge.training.problem import StepProblem
from expunge.training.worth import worth

if TYPE_CHECKING:
    from expunge.models.view import View

# Perturbations are measured exactly in the first step and then in every step of this multiple.
CHECK_EVERY = 50


@dataclass
class Run:
    """The moving parts of a run: everything a step reads and changes."""

    view: "View"
    ready: Prepared
    plan: Plan
    objective: Objective
    smoother: Smoother
    refs: ReferenceReader
    config: TrainConfig
    precision: Precision
    state: State = field(default_factory=dict)
    losses: list[dict[str, float]] = field(default_factory=list)
    tokens: int = 0
    spare: dict[str, Tensor] = field(default_factory=dict)
    smoothing_state: SmoothingState = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the optimizer; :meth:`start_at` makes the schedule."""
        self.ranks: Ranks = ranks_of(self.view.model)
        self.total = self.config.total_steps(self.plan.steps_per_epoch)
        self.optimizer = optimizer_of(self.config, self.ready.weights)
        self.start_at(0)

    def start_at(self, step: int) -> None:
        """Put the schedule at ``step`` finished steps."""
        self.scheduler = scheduler_of(self.optimizer, self.config, self.total, step)

    @property
    def step(self) -> int:
        """Finished steps."""
        return len(self.losses)

    def advance(self) -> dict[str, float]:
        """Take one step and return its log entry. Raises :class:`Diverged` or :class:`NothingMoved`."""
        began = time.perf_counter()
        rows = self.plan.rows(self.step)
        means = self._gradients(rows)
        norm = self._finite_norm(means)
        entry = {"step": self.step + 1, "lr": float(self.scheduler.get_last_lr()[0]), "grad_norm": norm, **means}
        self._update(norm, entry["lr"])
        self.smoother.after_step(self.ready.weights, self.step + 1, self.total, self.smoothing_state)
        self.objective.after_step(self.state, means)
        self.tokens += sum(len(row.ids) for stream in rows.values() for row in stream)
        self.losses.append(entry)
        entry["seconds"] = round(time.perf_counter() - began, 4)
        return entry

    def _gradients(self, rows: Mapping[str, Sequence[Row]]) -> dict[str, float]:
        """Leave the projected gradient of the step in ``weight.grad`` and return the term means."""
        weights = self.ready.weights
        micros = self._micros(rows)
        scale = self.objective.coefficients(self.step, self.step // self.plan.steps_per_epoch, self.state)
        means: dict[str, float] = {}
        if self.objective.intent != "teaching":
            problem = self._problem(micros, scale)
            put_grads(weights, self.smoother.gradient(problem))
            means.update(problem.means)
        means.update(role_pass(self._terms("keep", self.precision), micros, weights, scale, self.ranks))
        self._project()
        return means

    def _micros(self, rows: Mapping[str, Sequence[Row]]) -> list[MicroBatch]:
        """The step's forward passes; on several ranks, those of this one."""
        if self.ranks.size == 1:
            return [self._collated(parts) for parts in micro_rows(rows, self.config.micro_batch)]
        micros = []
        for share in shares(rows, self.config.micro_batch, self.ranks):
            micros.append(self._collated(share.rows))
            micros[-1].idle, micros[-1].blind = share.idle, share.blind
        return micros

    def _collated(self, parts: Mapping[str, Sequence[Row]]) -> MicroBatch:
        return MicroBatch({name: self.view.collate(part) for name, part in parts.items()})

    def _problem(self, micros: Sequence[MicroBatch], scale: Mapping[str, float]) -> StepProblem:
        weights = self.ready.weights

        def forget_pass(precision: Precision) -> dict[str, float]:
            return role_pass(self._terms("forget", precision), micros, weights, scale, self.ranks)

        def attack_pass(precision: Precision) -> dict[str, float]:
            return role_pass(self._terms("attack", precision), micros, weights, {}, self.ranks)

        return StepProblem(
            self.view,
            weights,
            forget_pass,
            self.precision,
            check=self.step % CHECK_EVERY == 0,
            spare=self.spare,
            attack_pass=attack_pass,
            project=self.ready.project,
            micros=micros,
            seed=derive(self.config.seed, "smoothing", self.step),
            ranks=self.ranks,
        )

    def _attack_terms(self, view: "View", batch: MicroBatch, refs: ReferenceReader, state: State) -> list[Term]:
        """What a relearning attacker would descend on the same rows."""
        return [nll_term(view, batch["forget"], "attack")]

    def _terms(self, role: str, precision: Precision) -> TermsOf:
        """Terms of a role; a pass's random state depends on the step, the role and the micro-batch only.

        On several ranks the micro-batches of one are counted interleaved with those of the others.
        """
        check_precision(self.view.model, precision)
        kinds = {"forget": self.objective.forget_terms, "keep": self.objective.keep_terms, "attack": self._attack_terms}
        terms = kinds[role]

        def of(micro: MicroBatch, index: int) -> list[Term]:
            seed = derive(self.config.seed, "pass", self.step, role, index * self.ranks.size + self.ranks.rank)
            with computing(precision, self.view.device):
                return worth(lambda part: made(part, seed), micro)

        def made(micro: MicroBatch, seed: int) -> list[Term]:
            with seeded(seed, self.view.device):
                return terms(self.view, micro, self.refs, self.state)

        return of

    def _project(self) -> None:
        put_grads(self.ready.weights, self.ready.project(self._grads()))

    def _grads(self) -> dict[str, Tensor]:
        return {name: weight.grad for name, weight in self.ready.weights.items() if weight.grad is not None}

    def _finite_norm(self, means: Mapping[str, float]) -> float:
        """The global gradient norm. Raises :class:`Diverged` naming the term or tensor that is not finite."""
        grads = self._grads()
        norm = float(global_norm(grads)) if grads else 0.0
        lost = [f"the loss term {name}" for name, mean in means.items() if not math.isfinite(mean)]
        if not lost and not math.isfinite(norm):
            lost = [name for name, grad in grads.items() if not math.isfinite(float(global_norm({name: grad})))]
            lost = [f"the gradient of {name}" for name in lost]
            lost = lost or ["the gradient norm"]
        if lost:
            put_grads(self.ready.weights, {})
            raise Diverged(self.step + 1, lost[0])
        return norm

    def _update(self, norm: float, lr: float) -> None:
        """Clip, decay, step, and free the gradients."""
        weights = locals_of(weight.detach() for weight in self.ready.weights.values())
        before = [weight.clone() for weight in weights] if self.step == 0 else []
        clip_(self._grads(), norm, self.config.clip)
        decay_(self.ready, lr * self.config.weight_decay)
        self.optimizer.step()
        self.scheduler.step()
        put_grads(self.ready.weights, {})
        if before and not any(self.ranks.sums([_differing(before, weights)])):
            raise NothingMoved(lr)


def _differing(before: Sequence[Tensor], after: Sequence[Tensor]) -> int:
    """How many of the tensors changed."""
    return sum(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
