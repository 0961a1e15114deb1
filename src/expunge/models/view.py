"""How everything else sees a model: one forward pass that computes only what is wanted.

Shapes: B rows, T positions (padded), N label tokens of the whole batch in row-major order, V vocabulary, D width,
E experts. The token at position t is predicted from position t − 1, so N positions reach the unembedding, not B·T.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from expunge.core.errors import InputError
from expunge.models.anatomy import Anatomy
from expunge.models.outputs import Outputs
from expunge.models.rows import Batch, Row, collate

__all__ = ["Outputs", "View"]

# What some models do to the logits after the unembedding, by the config key that holds the constant.
AFTER_HEAD: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "final_logit_softcapping": lambda logits, cap: torch.tanh(logits / cap) * cap,  # Gemma 2 and 3
    "logits_scaling": lambda logits, scale: logits / scale,  # Granite
    "logit_scale": lambda logits, scale: logits * scale,  # Cohere
}


WHOLE = "run_whole"
"""A model that is spread over processes has a method of this name, which runs a pass with its parts in reach."""


T = TypeVar("T")


class _Stopped(Exception):
    """Ends a forward pass once the last wanted block has run."""


class View:
    """A causal language model (or a LoRA-wrapped one) behind label-position forward passes.

    ``view.model`` is the model as given; its training mode is left alone. ``pad_id`` fills short rows; padding is on
    the right and never reaches a label, so any valid id will do.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id
        self.anatomy = Anatomy.find(model)
        self.running: Batch | None = None
        """The batch of the pass under way (or of the last one); what a perturbation may ask for."""

    @property
    def device(self) -> torch.device:
        """Where the embedding lies; batches go there."""
        return next(self.anatomy.embed.parameters()).device

    def collate(self, rows: Sequence[Row]) -> Batch:
        """Rows padded to one batch on the model's device."""
        return collate(rows, self.pad_id, self.device)

    def named_weights(self) -> dict[str, nn.Parameter]:
        """All parameters by name, each tied tensor once."""
        return dict(self.model.named_parameters())

    def forward(
        self,
        batch: Batch,
        *,
        logits: bool = True,
        hidden: Sequence[int] = (),
        final_hidden: bool = False,
        router: bool = False,
        stop_after: int | None = None,
    ) -> Outputs:
        """One pass over ``batch``.

        ``hidden`` lists blocks whose output is wanted; ``router`` wants every router's probabilities. After block
        ``stop_after`` nothing is computed: then there are no logits, whatever ``logits`` says.
        """
        _check_reach(hidden, final_hidden, stop_after)
        return self.within(partial(self._pass, batch, logits, hidden, final_hidden, router, stop_after))

    def within(self, run: Callable[[], T]) -> T:
        """What ``run`` returns; of a model in parts, what lies outside the blocks is gathered around it.

        Whatever calls a part of the model by itself goes through this, on all ranks equally often.
        """
        whole = getattr(self.anatomy.model, WHOLE, None)
        found: T = run() if whole is None else whole(run)[0]
        return found

    def run(self, **inputs: Any) -> Any:
        """The model's own pass, for a loop that keeps its cache."""
        model: Any = self.anatomy.model
        # What gathers the parts is set off by a call of the model itself, which an adapter goes around.
        return self.within(partial(model.forward, **inputs)) if hasattr(model, WHOLE) else self.model(**inputs)

    def _pass(
        self,
        batch: Batch,
        logits: bool,
        hidden: Sequence[int],
        final_hidden: bool,
        router: bool,
        stop_after: int | None,
    ) -> Outputs:
        mask_BT = batch.labels_BT[:, 1:]
        seen: dict[int, Tensor] = {}
        routed: dict[int, Tensor] = {}
        with ExitStack() as hooks:
            self._watch(hooks, hidden, seen, routed if router else None, batch.num_rows, stop_after)
            last_BTD = self._run(batch)
        rows_N, targets_N = mask_BT.nonzero()[:, 0], batch.ids_BT[:, 1:][mask_BT]
        final_ND = None if last_BTD is None or not (logits or final_hidden) else last_BTD[:, :-1][mask_BT]
        logits_NV = self.head_logits(final_ND) if logits and final_ND is not None else None
        kept_ND = final_ND if final_hidden else None
        return Outputs(batch.num_rows, targets_N, rows_N, logits_NV, kept_ND, hidden=seen, router=routed)

    def head_logits(self, final_hidden_ND: Tensor, head: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Logits NV (fp32) from final hidden states, with the model's own scaling or capping.

        ``head`` takes the place of the live unembedding, for instance a frozen copy of it.
        """
        logits_NV = (head or self.anatomy.head)(final_hidden_ND).float()
        config = self.anatomy.config
        for key, change in AFTER_HEAD.items():
            if (constant := getattr(config, key, None)) is not None:
                logits_NV = change(logits_NV, float(constant))
        return logits_NV

    @contextmanager
    def perturb(self, site: str, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Inside the block, activations at ``site`` (BTD) are replaced by ``function(activations)``.

        Sites: ``embed``, ``block.{i}``, ``mlp.{i}`` (what the MLP returns), ``final`` (after the final norm).
        """

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            return (function(output[0]), *output[1:]) if isinstance(output, tuple) else function(output)

        handle = self._site(site).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def _site(self, site: str) -> nn.Module:
        """The module whose output is activation site ``site``."""
        anatomy = self.anatomy
        fixed = {"embed": anatomy.embed, "final": anatomy.final_norm}
        by_layer = {"block": anatomy.block, "mlp": anatomy.mlp}
        name, _, layer = site.partition(".")
        if site in fixed:
            return fixed[site]
        if name in by_layer and layer.isdecimal():
            return by_layer[name](int(layer))
        raise InputError(f"unknown activation site {site!r}; use embed, block.<layer>, mlp.<layer> or final.")

    def _run(self, batch: Batch) -> Tensor | None:
        """The final hidden state BTD, or ``None`` when a hook stopped the pass.

        No attention mask: with padding on the right, causal attention never lets a real token see a pad, and the
        maskless kernel is the faster one.
        """
        self.running = batch
        try:
            output = self.anatomy.stack(input_ids=batch.ids_BT, use_cache=False)
        except _Stopped:
            return None
        last_BTD: Tensor = output.last_hidden_state
        return last_BTD

    def _watch(
        self,
        hooks: ExitStack,
        hidden: Sequence[int],
        seen: dict[int, Tensor],
        routed: dict[int, Tensor] | None,
        num_rows: int,
        stop_after: int | None,
    ) -> None:
        """Register the hooks that collect block outputs and router probabilities and that end the pass."""

        def on_block(layer: int) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                if layer in hidden:
                    seen[layer] = output[0] if isinstance(output, tuple) else output
                if layer == stop_after:
                    raise _Stopped

            return hook

        def on_router(layer: int) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: tuple[Tensor, ...], _output: Any) -> None:
                assert routed is not None
                routed[layer] = _router_probabilities(module, inputs[0], num_rows)

            return hook

        for layer in {*hidden, *(() if stop_after is None else (stop_after,))}:
            hooks.callback(self.anatomy.block(layer).register_forward_hook(on_block(layer)).remove)
        for layer in range(self.anatomy.num_layers) if routed is not None else ():
            if (module := self.anatomy.router(layer)) is not None:
                hooks.callback(module.register_forward_hook(on_router(layer)).remove)


def _check_reach(hidden: Sequence[int], final_hidden: bool, stop_after: int | None) -> None:
    """Refuse to stop before something that is wanted."""
    if stop_after is not None and (final_hidden or any(layer > stop_after for layer in hidden)):
        raise InputError(f"the pass stops after block {stop_after}, before what is wanted; raise stop_after.")


def _router_probabilities(router: nn.Module, inputs: Tensor, num_rows: int) -> Tensor:
    """Softmax over experts, BTE fp32, from the router's input.

    Recomputed because routers disagree on what they return (logits, probabilities, or the chosen experts only).
    """
    weight_ED, bias_E = router.weight, getattr(router, "bias", None)
    logits = functional.linear(inputs, weight_ED, bias_E)  # type: ignore[arg-type]
    return logits.float().softmax(-1).reshape(num_rows, -1, logits.shape[-1])
