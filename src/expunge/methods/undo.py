"""UNDO: unlearn, corrupt, distil. What the teacher only hides, the student never learns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.distributed.shards import cut
from expunge.methods.fields import check_keys
from expunge.methods.nested import Nested
from expunge.methods.work import Weights, Work
from expunge.objectives.base import Intent
from expunge.objectives.distil import Distil
from expunge.registry import method
from expunge.training.config import TrainConfig
from expunge.training.stopping import mean_nll


@method("undo")
@dataclass(frozen=True, kw_only=True)
class Undo(Nested):
    """Teacher = ``inner`` on θ₀; student = (1 − α)·teacher + α·β·N; distil the student on what the teacher says.

    N is Xavier-uniform on matrices and 0 on vectors, as in the paper's formula (Lee et al., 2506.06278); norms and
    biases thus shrink to 1 − α, which the authors' code does too. The noise is drawn from the run's seed (the authors'
    seed argument is unused). Distillation is forward KL on the retain stream, plus the forget prompts with
    ``forget_too``; the paper's large-model runs distil on general data alone, so that is off. It ends once the
    student's retain NLL is at most 1 + ``tolerance`` times the teacher's (5 %, the paper), or with its steps.

    ``alpha`` = 0.25 is the paper's value for a pre-trained 2-billion model, ``beta`` = 0.1 that of its language
    experiments (the 2-billion run uses 0: shrinking without noise). ``distil`` are training settings of the
    distillation above the method's own (its epochs are passes over the retain stream). The paper distils for 3000
    steps of 110 × 1024 tokens; give it many more steps than the unlearning. ``max_kl`` bounds the teacher only;
    what the student spends of it stands in the record.
    """

    paper: ClassVar[str] = "Lee et al. 2025, arXiv 2506.06278"
    intent: ClassVar[Intent] = "removal"
    family: ClassVar[str] = "meta"
    equation: ClassVar[str] = "student = (1 − α)·θ_teacher + α·β·N; L = KL(p_teacher ‖ p_student) on retain"
    alpha: float = 0.25
    beta: float = 0.1
    tolerance: float = 0.05
    forget_too: bool = False
    distil: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse shares outside 0 to 1, negative noise or tolerance, and unknown training settings."""
        super().__post_init__()
        check_keys(self.distil, [item.name for item in fields(TrainConfig)], "method parameter 'distil'")
        check_corruption(self.alpha, self.beta)
        if self.tolerance < 0:
            raise InputError(f"method parameter 'tolerance' is {self.tolerance!r}; it must be at least 0.")

    def streams(self) -> tuple[str, ...]:
        """What the inner method reads, and ``retain``."""
        return tuple(dict.fromkeys((*super().streams(), "retain")))

    def passes(self) -> float:
        """The inner method's, and one for the distillation (two with the forget prompts)."""
        return super().passes() + 1 + self.forget_too

    def run(self, work: Work) -> None:
        """Unlearn, store what the teacher says, corrupt, distil."""
        self.begin(work)
        work.method(self.spec)
        objective = Distil(streams=("retain", "forget") if self.forget_too else ("retain",))
        streams = {name: work.rows(name) for name in objective.streams}
        said = work.references(streams, **dict.fromkeys(streams, ("final_hidden",)))
        level = (1 + self.tolerance) * mean_nll(work.view(), streams["retain"], work.precision())
        work.put(corrupted(work.weights(), self.alpha, self.beta, derive(work.seed, "corruption")))
        if self.alpha:  # else the student is the teacher, and there is nothing to learn
            free = {"max_kl": None, "stop_forget_nll": None, "stop_learned_nll": level}
            work.train(objective, streams=streams, references=said, **{**self.distil, **free})


def check_corruption(alpha: float, beta: float) -> None:
    """Raise :class:`InputError` for a share outside 0 to 1 and for negative noise."""
    if not 0 <= alpha <= 1:
        raise InputError(f"method parameter 'alpha' is {alpha!r}; it must lie between 0 and 1.")
    if beta < 0:
        raise InputError(f"method parameter 'beta' is {beta!r}; it must be at least 0.")


def corrupted(weights: Mapping[str, Tensor], alpha: float, beta: float, seed: int) -> Weights:
    """(1 − α)·w + α·β·N for every weight w; N is 0 for vectors and Xavier-uniform above.

    A stack of matrices (experts in one tensor) is drawn matrix by matrix, so its fans are those of one matrix.
    """
    return {
        name: (1 - alpha) * weight + alpha * beta * _noise(weight, derive(seed, name))
        for name, weight in weights.items()
    }


def _noise(weight: Tensor, seed: int) -> Tensor:
    """Uniform in ±√(6/(fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16), drawn whole on the CPU: alike on every device
    and on any number of processes."""
    if weight.ndim < 2:
        return torch.zeros_like(weight)
    bound = (6 / (weight.shape[-1] + weight.shape[-2])) ** 0.5
    source = torch.Generator().manual_seed(seed)
    drawn = torch.rand(weight.shape, generator=source, dtype=torch.float32)
    return cut(((2 * drawn - 1) * bound).to(weight.device, weight.dtype), weight)
