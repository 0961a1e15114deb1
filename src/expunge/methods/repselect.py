"""RepSelect: remove from the forget gradient what it shares with everything, and walk along the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.core.errors import InputError
from expunge.distributed.sharding import averaged
from expunge.distributed.shards import cut, full
from expunge.methods.base import Method
from expunge.methods.work import Weights, Work
from expunge.models.anatomy import Anatomy
from expunge.objectives.base import Intent
from expunge.objectives.cross_entropy import CrossEntropy
from expunge.registry import method
from expunge.scopes.lora import LoRA
from expunge.smoothing.base import global_norm
from expunge.training.gauge import StreamGauge
from expunge.training.stopping import Budget

PLAIN: Mapping[str, Any] = {
    "optimizer": "sgd",
    "schedule": "constant",
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip": None,
    "max_kl": None,
}
SMALL = 1024
"""Up to this smaller side the SVD is exact; above it, a randomised one of the wanted rank."""
HALVINGS = 10
"""Below a thousandth of the first step there is nothing left of the method."""


@method("repselect")
@dataclass(frozen=True, kw_only=True)
class RepSelect(Method):
    """RepSelectSimple: elicit, accumulate the forget gradient, collapse its top components, search along the rest.

    (1) Adapters on the MLPs' linear maps descend the forget NLL by plain SGD for ``elicit_epochs``. (2) With them
    active, G = ∇_W of the mean forget NLL is accumulated for every MLP matrix. (3) The adapters are dropped. (4) Of
    each G ≈ U·S·Vᵀ the first ``n_pcs`` components are divided by S_i/S_min, first on the input side (V), then on the
    output side (U). (5) W ← W + η·G_filtered, one constant direction, while the mean KL(θ₀‖θ) on retain holds
    ``max_kl``; the last valid point stays.

    Sources (2606.17168 and its code): n_pcs = 512, max_kl = 0.01, one elicitation epoch, adapters of peft's default
    rank 8; ``lora_lr`` = 0.05 is the geometric middle of the authors' search range 0.005 to 0.5. Ours: at most the
    share ``max_share`` = 1/8 of a matrix's smaller side is collapsed (512 of the paper's 4096: a narrow model would
    lose its whole spectrum); ``eta`` is in shares of the edited weights' norm (the authors search an absolute 0.005
    to 0.5; on one line only the resolution differs), a step that is out is halved until it is an eighth of what
    holds, and at most ``max_steps`` = 100 are tried. The training settings' ``max_kl`` takes the place of the method's.
    """

    paper: ClassVar[str] = "RepSelect 2026, arXiv 2606.17168"
    intent: ClassVar[Intent] = "removal"
    family: ClassVar[str] = "gradient selection"
    equation: ClassVar[str] = "W ← W + η·C_U(C_V(∇_W NLL_forget)), C: component i of the first n times S_min/S_i"
    n_pcs: int = 512
    max_share: float = 0.125
    max_kl: float = 0.01
    eta: float = 0.01
    max_steps: int = 100
    lora_lr: float = 0.05
    lora_rank: int = 8
    elicit_epochs: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that are not positive; no elicitation (0 epochs) is the authors' ablation."""
        for key in ("n_pcs", "max_share", "max_kl", "eta", "max_steps", "lora_lr", "lora_rank"):
            if getattr(self, key) <= 0:
                raise InputError(f"method parameter {key!r} is {getattr(self, key)!r}; it must be above 0.")
        if self.elicit_epochs < 0:
            raise InputError(f"method parameter 'elicit_epochs' is {self.elicit_epochs!r}; it must be at least 0.")

    def streams(self) -> tuple[str, ...]:
        """``forget``, and ``retain`` to measure on."""
        return ("forget", "retain")

    def run(self, work: Work) -> None:
        """Elicit, accumulate, filter, search."""
        budget = work.budget or work.utility()
        start = work.weights()
        gradient = self._elicited(work)
        work.put(start)
        direction = {name: self._filtered(value) for name, value in gradient.items()}
        self._search(work, budget, {name: start[name] for name in direction}, direction)

    def _elicited(self, work: Work) -> Weights:
        """∇ of the mean forget NLL for every MLP matrix, adapters active.

        A merged adapter changes no output, and by the chain rule no gradient of the matrix it is merged into.
        """
        rows = work.rows("forget")
        if self.elicit_epochs:
            scope = LoRA(rank=self.lora_rank, alpha=float(self.lora_rank), targets=_linears(work))
            own = {**PLAIN, "epochs": self.elicit_epochs, "lr": self.lora_lr, "stop_forget_nll": None}
            work.train(CrossEntropy(), scope=scope, streams={"teach": rows}, **own)
        with averaged(work.loaded.model):
            gradient = StreamGauge(work.view(), {"forget": rows}, work.precision()).gradient("forget")
        work.note(0, sum(len(row.ids) for row in rows), "edit")
        return {name: gradient[name] for name in matrices(work.loaded.model)}

    def _filtered(self, gradient: Tensor) -> Tensor:
        """A matrix's gradient, collapsed; one that is in parts is whole for that long only."""
        return cut(collapsed(full(gradient), self._kept(gradient)), gradient)

    def _kept(self, gradient: Tensor) -> int:
        """How many components of a matrix are collapsed."""
        return max(1, min(self.n_pcs, int(self.max_share * min(gradient.shape[-2:]))))

    def _search(self, work: Work, budget: Budget, start: Mapping[str, Tensor], direction: Weights) -> None:
        """Steps along ``direction`` while the budget holds; put the last valid one."""
        limit = work.settings.get("max_kl") or self.max_kl
        unit = self.eta * float(global_norm(start)) / max(float(global_norm(direction)), 1e-30)
        drifts: list[dict[str, float]] = []
        valid, step = 0.0, 1.0
        while len(drifts) < self.max_steps:
            work.put({name: start[name] + (valid + step) * unit * value for name, value in direction.items()})
            drifts.append({"step": len(drifts) + 1, "budget_kl": work.drift(budget)})
            # Written so that a NaN counts as over the budget.
            if drifts[-1]["budget_kl"] <= limit:
                valid += step
                continue
            step /= 2
            if step < max(valid / 8, 0.5**HALVINGS):
                break
        work.put({name: start[name] + valid * unit * value for name, value in direction.items()})
        work.note(len(drifts), 0, "max_kl" if step < 1 else "steps", drifts)


def collapsed(gradient: Tensor, num: int) -> Tensor:
    """``gradient`` with its first ``num`` components times S_min/S_i on the input side, then on the output side.

    S_min is the smallest of the ``num`` singular values; nothing that is left exceeds it. A stack of matrices
    (experts in one tensor) is taken matrix by matrix.
    """
    if gradient.ndim > 2:
        return torch.stack([collapsed(part, num) for part in gradient])
    u, s, v = _svd(gradient, num)
    drop = 1 - torch.where(s > 0, s[-1] / s, torch.ones_like(s))
    less = gradient - ((gradient @ v) * drop) @ v.T
    return less - u @ (drop[:, None] * (u.T @ less))


def _svd(gradient: Tensor, num: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first ``num`` left vectors, values and right vectors (as columns)."""
    if min(gradient.shape) <= SMALL:
        u, s, vh = torch.linalg.svd(gradient, full_matrices=False)
        return u[:, :num], s[:num], vh[:num].T
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        u, s, v = torch.svd_lowrank(gradient, q=num, niter=4)
    return u, s, v


def matrices(model: nn.Module) -> list[str]:
    """Names of the MLPs' weight matrices (and stacks of them), routers excepted."""
    anatomy, ids = Anatomy.find(model), set()
    for layer in range(anatomy.num_layers):
        router = anatomy.router(layer)
        barred = {id(weight) for weight in router.parameters()} if router is not None else set()
        ids |= {id(weight) for weight in anatomy.mlp(layer).parameters() if weight.ndim > 1} - barred
    return [name for name, weight in model.named_parameters() if id(weight) in ids]


def _linears(work: Work) -> list[str] | str:
    """The modules that hold one of those matrices; all linear maps where experts lie in stacks (no adapter fits)."""
    model = work.loaded.model
    modules = dict(model.named_modules())
    names = [name.removesuffix(".weight") for name in matrices(model) if name.endswith(".weight")]
    return [name for name in names if name in modules] or "all-linear"
