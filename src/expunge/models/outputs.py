"""What a forward pass gives back.

Shapes: B rows, T positions (padded), N label tokens of the whole batch in row-major order, V vocabulary, D width,
E experts.
"""

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional

from expunge.core.errors import InputError


@dataclass(frozen=True)
class Outputs:
    """Only what was asked for is present; asking for anything else raises :class:`InputError`.

    ``targets_N`` are the label tokens and ``rows_N`` the row of each. ``hidden[i]`` is the output of block i, BTD.
    ``router[i]`` holds block i's router probabilities (softmax over all experts, fp32), BTE.
    """

    num_rows: int
    targets_N: Tensor
    rows_N: Tensor
    maybe_logits_NV: Tensor | None = None
    maybe_final_hidden_ND: Tensor | None = None
    hidden: dict[int, Tensor] = field(default_factory=dict)
    router: dict[int, Tensor] = field(default_factory=dict)

    @property
    def logits_NV(self) -> Tensor:
        """Logits at the positions that predict the label tokens, fp32, after the model's own scaling or capping."""
        return _present(self.maybe_logits_NV, "logits")

    @property
    def final_hidden_ND(self) -> Tensor:
        """What the unembedding reads at those positions: the hidden state after the final norm."""
        return _present(self.maybe_final_hidden_ND, "final_hidden")

    def logprobs_N(self) -> Tensor:
        """log p(label token | what precedes it), nats, fp32."""
        return -functional.cross_entropy(self.logits_NV, self.targets_N, reduction="none")

    def sum_by_row_B(self, values_N: Tensor) -> Tensor:
        """Sum of ``values_N`` over each row's label tokens; 0 for a row without labels."""
        return values_N.new_zeros(self.num_rows).index_add(0, self.rows_N, values_N)

    def nll_sum_B(self) -> Tensor:
        """Summed label NLL of each row, nats."""
        return -self.sum_by_row_B(self.logprobs_N())

    def nll_mean_B(self) -> Tensor:
        """Mean label NLL of each row, nats a token; 0 for a row without labels."""
        logprobs_N = self.logprobs_N()
        counts_B = self.sum_by_row_B(logprobs_N.detach().new_ones(logprobs_N.shape))
        return -self.sum_by_row_B(logprobs_N) / counts_B.clamp(min=1)


def _present(value: Tensor | None, name: str) -> Tensor:
    """``value``, or a clear error when the pass did not compute it."""
    if value is None:
        raise InputError(f"this forward pass did not compute {name}; ask for it (and do not stop early).")
    return value
