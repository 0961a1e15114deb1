"""The scope contract: which weights may move, and where."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from expunge.core.errors import InputError


def unchanged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The projection of a scope that consists of whole tensors."""
    return tensors


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A model made ready for training inside a scope.

    ``model`` runs the forward pass (it may be wrapped); ``weights`` may move, by name, each tied tensor once.
    ``project`` maps named tensors (a gradient, a decay) onto the scope. ``finish`` undoes what ``prepare`` did to
    the model (gradient flags, adapters, which it merges) and returns the plain model.
    """

    model: PreTrainedModel
    weights: Mapping[str, Parameter]
    finish: Callable[[], PreTrainedModel]
    project: Callable[[dict[str, Tensor]], dict[str, Tensor]] = unchanged


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Base of all scopes; sub-classes are frozen dataclasses whose fields are the hyper-parameters."""

    def prepare(self, model: PreTrainedModel, seed: int) -> Prepared:
        """Select the weights that may move; everything else gets no gradient and stays bit-identical.

        Raises :class:`InputError` when the scope matches nothing or a matched weight is not float32.
        """
        raise NotImplementedError


def select(model: PreTrainedModel, chosen: Callable[[str], bool], what: str) -> Prepared:
    """Prepare the parameters whose name is ``chosen``; ``what`` names the scope in the error."""
    named = dict(model.named_parameters())
    flags = {name: weight.requires_grad for name, weight in named.items()}
    weights = {name: weight for name, weight in named.items() if chosen(name)}
    if not weights:
        raise InputError(f"{what} matches no weight of {type(model).__name__}; check its layers and modules.")
    check_masters(weights)
    for name, weight in named.items():
        weight.requires_grad_(name in weights)

    def finish() -> PreTrainedModel:
        for name, weight in named.items():
            weight.requires_grad_(flags[name])
            weight.grad = None
        return model

    return Prepared(model=model, weights=weights, finish=finish)


def check_masters(weights: Mapping[str, Tensor]) -> None:
    """Refuse masters that are not float32: most updates at usual rates would round away."""
    for name, weight in weights.items():
        if str(weight.dtype) not in ("torch.float32", "torch.float64"):
            raise InputError(f"weight {name} is {weight.dtype}; load the model in float32 to train it.")


@contextmanager
def prepared(scope: Scope, model: PreTrainedModel, seed: int) -> Iterator[Prepared]:
    """:meth:`Scope.prepare`, with ``finish`` called whatever happens."""
    ready = scope.prepare(model, seed)
    try:
        yield ready
    finally:
        ready.finish()
