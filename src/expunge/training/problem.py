"""The forget loss of one optimizer step, as smoothers see it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import Parameter

from expunge.core.errors import InputError
from expunge.distributed.ranks import ALONE, Ranks
from expunge.distributed.shards import any_sharded, locals_of
from expunge.models.rows import Batch
from expunge.scopes.base import unchanged
from expunge.smoothing.base import ActivationPerturbation, Grads, WeightDelta, Where
from expunge.training.batches import MicroBatch
from expunge.training.passes import take_grads
from expunge.training.precision import Precision, computing

if TYPE_CHECKING:
    from expunge.models.view import View

# Below this cosine the perturbation that the forward pass sees is not the one that was asked for.
LEAST_COSINE = 0.9


@dataclass
class StepProblem:
    """Satisfies :class:`expunge.smoothing.base.Problem` on the rows of one step.

    ``forget_pass(precision)`` runs forward and backward of the forget role into the empty ``weight.grad`` and
    returns the term means; ``attack_pass`` does so for the attacker's loss. ``project`` keeps gradients inside the
    scope. ``check`` measures each perturbation exactly (two passes over the weights). ``spare`` holds the perturbed
    weights; given the same one in every step, no step pays for fresh memory.
    """

    view: "View"
    weights: Mapping[str, Parameter]
    forget_pass: Callable[[Precision], dict[str, float]]
    precision: Precision
    check: bool = True
    spare: dict[str, Tensor] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    attack_pass: Callable[[Precision], dict[str, float]] | None = None
    project: Callable[[dict[str, Tensor]], dict[str, Tensor]] = unchanged
    micros: Sequence[MicroBatch] = ()
    seed: int = 0
    ranks: Ranks = ALONE

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        return self.view.anatomy.num_layers

    @property
    def running(self) -> Batch:
        """See :meth:`expunge.smoothing.base.Problem.running`."""
        assert self.view.running is not None
        return self.view.running

    def layer_of(self, name: str) -> int | None:
        """See :meth:`expunge.smoothing.base.Problem.layer_of`."""
        return self.view.anatomy.layer_of(name)

    def grad(self, at: Where = None, *, exact: bool = False) -> Grads:
        """See :meth:`expunge.smoothing.base.Problem.grad`. The gradients returned belong to the caller.

        Raises :class:`InputError` when float32 itself rounds the weight perturbation away.
        """
        with self._shifted(at) as precision:
            means = self.forget_pass("fp32" if exact else precision)
        if at is None or not self.means:
            self.means = means
        return self.project(take_grads(self.weights))

    def attack_grad(self, at: Where = None) -> Grads:
        """See :meth:`expunge.smoothing.base.Problem.attack_grad`."""
        assert self.attack_pass is not None
        with self._shifted(at) as precision:
            self.attack_pass(precision)
        return self.project(take_grads(self.weights))

    def hidden_MD(self, stream: str, site: str) -> Tensor:
        """See :meth:`expunge.smoothing.base.Problem.hidden_MD`."""
        if self.ranks.size > 1:
            raise InputError("a smoother that reads single hidden states cannot run on several ranks; use one process.")
        return torch.cat(self._hidden(stream, (site,), lambda hidden_MD: hidden_MD)[site])

    def hidden_means(self, stream: str, sites: Sequence[str]) -> dict[str, Tensor]:
        """See :meth:`expunge.smoothing.base.Problem.hidden_means`."""
        own = [micro[stream] for micro in self.micros if stream in micro and stream not in micro.idle]
        (count,) = self.ranks.sums([sum(int(batch.attention_BT.sum()) for batch in own)])
        sums = self._hidden(stream, sites, lambda hidden_MD: hidden_MD.sum(0))
        totals = {site: torch.stack(parts).sum(0) for site, parts in sums.items()}
        return {site: self.ranks.total(total) / count for site, total in totals.items()}

    def _hidden(self, stream: str, sites: Sequence[str], reduce: Callable[[Tensor], Tensor]) -> dict[str, list[Tensor]]:
        """What ``reduce`` makes of the activations MD at each site, by micro-batch."""
        found: dict[str, list[Tensor]] = {site: [] for site in sites}

        def recorder(site: str) -> Callable[[Tensor], Tensor]:
            def record(hidden_BTD: Tensor) -> Tensor:
                found[site].append(reduce(hidden_BTD[self.running.attention_BT.bool()].float()))
                return hidden_BTD

            return record

        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(computing(self.precision, self.view.device))
            for site in sites:
                stack.enter_context(self.view.perturb(site, recorder(site)))
            for micro in (micro for micro in self.micros if stream in micro):
                self.view.forward(micro[stream], logits=False)
                for parts in found.values() if stream in micro.idle else ():
                    parts[-1].zero_()
        return found

    @contextmanager
    def _shifted(self, at: Where) -> Iterator[Precision]:
        if isinstance(at, Mapping):
            with self._moved_to(self.project(dict(at))) as precision:
                yield precision
            return
        perturbations = (at,) if isinstance(at, ActivationPerturbation) else at or ()
        with ExitStack() as stack:
            for perturbation in perturbations:
                stack.enter_context(self.view.perturb(perturbation.site, perturbation.function))
            yield self.precision

    @contextmanager
    def _moved_to(self, at: WeightDelta) -> Iterator[Precision]:
        weights = {name: self.weights[name] for name in at}
        if any_sharded(weights.values()):
            with self._moved_in_place(weights, at) as precision:
                yield precision
            return
        originals = [weight.data for weight in weights.values()]
        shifted = self._moved(originals, at)
        precision = self._faithful(originals, shifted, list(at.values()))
        try:
            # Exchanging the storage, instead of adding and subtracting, is what leaves the weights bit-identical.
            for weight, moved in zip(weights.values(), shifted, strict=True):
                weight.data = moved
            yield precision
        finally:
            for weight, original in zip(weights.values(), originals, strict=True):
                weight.data = original

    @contextmanager
    def _moved_in_place(self, weights: Mapping[str, Parameter], at: WeightDelta) -> Iterator[Precision]:
        """FSDP2 gathers from storage of its own, so shards are overwritten and copied back: the same bits again."""
        live, deltas = locals_of(weights.values()), locals_of(at.values())
        originals = self._spared(weights, live)
        torch._foreach_copy_(originals, live)
        torch._foreach_add_(live, deltas)
        try:
            yield self._faithful(originals, live, deltas)
        finally:
            torch._foreach_copy_(live, originals)

    def _moved(self, originals: list[Tensor], at: WeightDelta) -> list[Tensor]:
        """weights + at, in the spare tensors."""
        shifted = self._spared(at, originals)
        torch._foreach_copy_(shifted, originals)
        torch._foreach_add_(shifted, list(at.values()))
        return shifted

    def _spared(self, names: Iterable[str], like: list[Tensor]) -> list[Tensor]:
        """The spare tensors of these names, made where they are not there yet."""
        for name, tensor in zip(names, like, strict=True):
            if name not in self.spare:
                self.spare[name] = torch.empty_like(tensor)
        return [self.spare[name] for name in names]

    def _faithful(self, originals: list[Tensor], shifted: list[Tensor], wanted: list[Tensor]) -> Precision:
        """The precision of the perturbed pass: fp32 where bf16 would round the perturbation away."""
        if self.precision == "bf16" and self._cosine(originals, shifted, wanted, torch.bfloat16) >= LEAST_COSINE:
            return "bf16"
        if self.check and (found := self._cosine(originals, shifted, wanted, torch.float32)) < LEAST_COSINE:
            raise InputError(
                f"the weight perturbation is lost to rounding (cosine {found:.2f} with the one asked for); raise 'rho'."
            )
        return "fp32"

    def _cosine(
        self, originals: list[Tensor], shifted: list[Tensor], wanted: list[Tensor], dtype: torch.dtype
    ) -> float:
        """cos(realised, intended) over all tensors, the weights seen in ``dtype``; 1 for a zero perturbation."""
        products = _products(originals, shifted, wanted, dtype)
        if any_sharded(self.weights.values()):
            products = self.ranks.sums(products)
        dot, realised_square, wanted_square = products
        if not wanted_square:
            return 1.0
        return float(dot / (realised_square * wanted_square) ** 0.5) if realised_square else 0.0


def _products(originals: list[Tensor], shifted: list[Tensor], wanted: list[Tensor], dtype: torch.dtype) -> list[float]:
    """realised · intended, ‖realised‖² and ‖intended‖², of the weights as ``dtype`` sees them."""
    dot = realised_square = wanted_square = 0.0
    for old, new, want in zip(originals, shifted, wanted, strict=True):
        realised = (new.to(dtype).to(new.dtype) - old.to(dtype).to(old.dtype)).flatten()
        dot += float(realised.dot(want.flatten()))
        realised_square += float(realised.dot(realised))
        wanted_square += float(want.flatten().dot(want.flatten()))
    return [dot, realised_square, wanted_square]
