"""How to train: the hyper-parameters of the loop that do not belong to an objective, a smoother or a scope."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from expunge.core.errors import InputError

Schedule = Literal["constant", "linear", "cosine"]
OptimizerName = Literal["adamw", "sgd"]
PrecisionName = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run; teaching, unlearning and relearning use the same ones.

    Exactly one of ``steps`` (optimizer steps) and ``epochs`` (passes over the anchor stream) is given.
    ``batch_size`` is rows of each stream an optimizer step, ``micro_batch`` rows a forward pass (``None``: all).
    ``warmup`` is a share of the steps. ``weight_decay`` is decoupled, on matrices inside the scope only.
    ``clip`` bounds the global L2 norm of the combined gradient (1.0 is the Hugging Face trainer's default, which
    the published unlearning recipes keep). ``checkpoint_every`` is in steps, 0 for never.

    ``stop_forget_nll`` stops once the mean label-token NLL over the forget stream, in nats, is at least this.
    ``stop_learned_nll`` stops once the same mean, over the stream whose passes are epochs, is at most this (a student
    that has caught up).
    ``max_kl`` stops once the mean KL(θ₀‖θ) over the retain stream's label tokens (a method's: over those of subjects
    that it holds out), in nats, is above this, and puts back the weights of the last measurement within the budget.
    All are measured every ``eval_every`` steps.
    Raises :class:`InputError` on a value that makes no sense.
    """

    lr: float
    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 8
    micro_batch: int | None = None
    schedule: Schedule = "constant"
    warmup: float = 0.0
    optimizer: OptimizerName = "adamw"
    weight_decay: float = 0.0
    clip: float | None = 1.0
    precision: PrecisionName = "auto"
    seed: int = 0
    checkpoint_every: int = 0
    max_kl: float | None = None
    stop_forget_nll: float | None = None
    stop_learned_nll: float | None = None
    eval_every: int = 1

    def __post_init__(self) -> None:
        """Refuse values that make no sense, naming the key."""
        if (self.steps is None) == (self.epochs is None):
            raise InputError("training needs either 'steps' or 'epochs'; give exactly one of them.")
        for key, valid, what in self._checked():
            if not valid:
                raise InputError(f"training key {key!r} is {getattr(self, key)!r}; it must be {what}.")

    def _checked(self) -> list[tuple[str, bool, str]]:
        try:
            return self._rules()
        except TypeError as error:
            hint = "YAML reads 1e-5 as text; write 1.0e-5"
            raise InputError(f"a training value has the wrong type ({error}); give a number ({hint}).") from None

    def _rules(self) -> list[tuple[str, bool, str]]:
        return [
            ("lr", math.isfinite(self.lr) and self.lr > 0, "a positive number"),
            ("steps", self.steps is None or self.steps >= 1, "at least 1"),
            ("epochs", self.epochs is None or self.epochs > 0, "above 0"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("micro_batch", self.micro_batch is None or self.micro_batch >= 1, "at least 1, or absent"),
            ("schedule", self.schedule in get_args(Schedule), f"one of {', '.join(get_args(Schedule))}"),
            ("warmup", 0 <= self.warmup < 1, "a share of the steps, from 0 to below 1"),
            ("optimizer", self.optimizer in get_args(OptimizerName), f"one of {', '.join(get_args(OptimizerName))}"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("clip", self.clip is None or self.clip > 0, "above 0, or absent"),
            ("precision", self.precision in get_args(PrecisionName), f"one of {', '.join(get_args(PrecisionName))}"),
            ("checkpoint_every", self.checkpoint_every >= 0, "at least 0"),
            ("max_kl", self.max_kl is None or self.max_kl > 0, "above 0, or absent"),
            (
                "checkpoint_every",
                self.max_kl is None or self.checkpoint_every % max(1, self.eval_every) == 0,
                "a multiple of 'eval_every' where 'max_kl' is set",
            ),
            ("eval_every", self.eval_every >= 1, "at least 1"),
        ]

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps of the run, given how many make an epoch of the anchor stream; at least 1."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, math.ceil(self.epochs * steps_per_epoch))
