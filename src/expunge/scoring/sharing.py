"""Prompts computed once: rows that share one are laid out as a tree, in which a token sees its ancestors alone.

Seven answers to one question are seven branches of one tree; so are answers that begin alike. Each branch stands at the
positions that it has in its own row, so the result is that of whole rows up to rounding. What all prompts open with, a
system turn for instance, is computed once for all trees and read from a cache.
Shapes: K trees of a batch, H tokens of the opening, T tokens of a tree (padded), N edges to label tokens, D width.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from expunge.distributed.sharding import ranks_of
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.batching import Part, batches_by_length
from expunge.scoring.memory import fitting_tokens

WORTH = 8
"""Sharing must spare one token in this many. Our choice."""

TREE_TOKENS = 512
"""Rows are added to a tree up to this size: its attention is dense, so that far larger ones cost more. Our choice."""

ROUNDING = {torch.float32: 1e-3, torch.float64: 1e-6}
"""How far, relative to its size, a hidden state of a tree may lie from that of the whole row; 0.1 in half precision."""

Group = tuple[Row, ...]
"""Rows that share a prompt."""

_PROVEN: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""The longest row, by model, on which trees have been seen to agree with whole rows."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The tokens of some rows after an opening, each prefix once; a row's last token is only ever predicted.

    ``parents`` stand before their children (−1: the opening); ``places`` are the nodes of each row's tokens.
    """

    rows: Group
    ids: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, rows: Sequence[Row], begun: int = 0) -> "Tree":
        """The tree of ``rows``, which open with the same ``begun`` tokens."""
        nodes: dict[tuple[int, int], int] = {}
        depths: list[int] = []
        places = []
        for row in rows:
            path = [-1]
            for depth, token in enumerate(row.ids[begun:-1]):
                path.append(nodes.setdefault((path[-1], token), len(nodes)))
                depths += [depth] * (len(nodes) - len(depths))
            places.append(tuple(path[1:]))
        parents, ids = zip(*nodes, strict=True)
        return cls(tuple(rows), ids, parents, tuple(depths), tuple(places))

    def sees_TT(self) -> Tensor:
        """Whether the token of a row sees that of a column: its ancestors and itself."""
        sees_TT = torch.zeros(len(self.ids), len(self.ids), dtype=torch.bool)
        rows = sees_TT.numpy()
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                rows[node] = rows[parent]
            rows[node, node] = True
        return sees_TT


def groups_of(rows: Sequence[Row]) -> tuple[list[Row], list[Group]]:
    """The rows that are best scored whole, in order, and those that share a prompt, in groups of a tree's size."""
    by_prompt: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        by_prompt.setdefault(_prompt(row), []).append(row)
    groups = [group for found in by_prompt.values() for group in _cut(found) if _worth(group)]
    shared = {row for group in groups for row in group}
    return [row for row in rows if row not in shared], groups


def can_share(view: View, groups: Sequence[Group]) -> bool:
    """Whether this model scores these rows as trees exactly; else they are to be scored whole.

    It must take positions and a mask, keep one cache a block, and have no window shorter than a row. A model may take a
    mask and do something else with it: so the longest row is computed both ways, once for a model and a length.
    """
    longest = max((row for group in groups for row in group), key=lambda row: len(row.ids))
    return _takes_trees(view, len(longest.ids)) and _agrees(view, groups, longest)


def shared_passes(view: View, groups: Sequence[Group], max_tokens: int) -> Iterator[Callable[[], Part]]:
    """The groups as trees in batches of near-equal size, of at most ``max_tokens`` tokens and of what fits."""
    opening = _opening(view, groups) if groups else None
    begun = 0 if opening is None else opening.get_seq_length()
    trees = [Tree.of(group, begun) for group in groups]
    most = min(max_tokens, fitting_tokens(view))
    for batch in batches_by_length([len(tree.ids) for tree in trees], most, ranks_of(view.model).size):
        yield partial(_forward, view, [trees[index] for index in batch], opening)


def _prompt(row: Row) -> tuple[int, ...]:
    """The ids before the one from which the first label is predicted."""
    return row.ids[: row.labels.index(True) - 1]


def _cut(rows: Sequence[Row]) -> Iterator[Group]:
    """Rows with one prompt in groups whose trees hold about ``TREE_TOKENS``, or twice the prompt."""
    shared = len(_prompt(rows[0]))
    bound, group, tokens = max(TREE_TOKENS, 2 * shared), list[Row](), shared
    for row in rows:
        own = len(row.ids) - shared
        if group and tokens + own > bound:
            yield tuple(group)
            group, tokens = [], shared
        group.append(row)
        tokens += own
    yield tuple(group)


def _worth(group: Group) -> bool:
    if len(group) == 1 or not _prompt(group[0]):
        return False
    whole = sum(len(row.ids) - 1 for row in group)
    return (whole - len(Tree.of(group).ids)) * WORTH > whole


def _takes_trees(view: View, length: int) -> bool:
    config: Any = view.anatomy.config
    taken = inspect.signature(view.anatomy.stack.forward).parameters
    if not {"past_key_values", "position_ids", "attention_mask"} <= taken.keys():
        return False
    if config._attn_implementation not in ("sdpa", "eager") or bool(getattr(config, "num_kv_shared_layers", 0)):
        return False
    layers = DynamicCache(config=config).layers
    windows = [layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)]
    known = {type(layer) for layer in layers} <= {DynamicLayer, DynamicSlidingWindowLayer}
    return known and all(length < window for window in windows)


def _agrees(view: View, groups: Sequence[Group], longest: Row) -> bool:
    """Whether the longest row gets its own hidden states in a tree, where another row's branch stands before it."""
    stack = view.anatomy.stack
    if _PROVEN.get(stack, 0) >= len(longest.ids):
        return True
    other = next(row for group in groups if longest in group for row in group if row is not longest)
    begun = len(_prompt(longest)) // 2
    part = _forward(view, [Tree.of((other, longest), begun)], _cached(view, longest.ids[:begun]) if begun else None)
    tree_ND = part.hidden_ND[list(part.places[1])]
    whole_ND = view.forward(view.collate([longest]), logits=False, final_hidden=True).final_hidden_ND
    apart = torch.linalg.vector_norm(tree_ND - whole_ND, dim=-1) / torch.linalg.vector_norm(whole_ND, dim=-1)
    agrees = bool((apart <= ROUNDING.get(whole_ND.dtype, 0.1)).all())
    if agrees:
        _PROVEN[stack] = len(longest.ids)
    return agrees


def _opening(view: View, groups: Sequence[Group]) -> Cache | None:
    """The cache of what all prompts open with, where that spares enough."""
    prompts = [_prompt(group[0]) for group in groups]
    first, last, shortest = min(prompts), max(prompts), min(map(len, prompts))
    length = next((at for at in range(shortest) if first[at] != last[at]), shortest)
    if length * (len(groups) - 1) * WORTH <= sum(len(Tree.of(group).ids) for group in groups):
        return None
    return _cached(view, first[:length])


def _cached(view: View, ids: Sequence[int]) -> Cache:
    ids_1H = torch.tensor([ids], device=view.device)
    output: Any = view.within(partial(view.anatomy.stack, input_ids=ids_1H, use_cache=True))
    cache: Cache = output.past_key_values
    return cache


class _Read(DynamicCache):
    """The opening's cache before every tree of a batch; read and never written, so that one serves all batches."""

    def __init__(self, opening: Cache) -> None:
        super().__init__()
        self.layers = opening.layers

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of the opening before those of the trees."""
        layer: Any = self.layers[layer_idx]
        keys, values = (kept.expand(len(key_states), -1, -1, -1) for kept in (layer.keys, layer.values))
        return torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)


def _forward(view: View, trees: Sequence[Tree], opening: Cache | None) -> Part:
    """One pass over a batch of trees; every edge to a label token once."""
    begun = 0 if opening is None else opening.get_seq_length()
    ids_KT, positions_KT, sees_KTS = _padded(trees, view.pad_id, begun)
    run = partial(
        view.anatomy.stack,
        input_ids=ids_KT.to(view.device),
        position_ids=positions_KT.to(view.device),
        attention_mask=_mask(view, sees_KTS),
        past_key_values=None if opening is None else _Read(opening),
        use_cache=opening is not None,
    )
    output: Any = view.within(run)
    edges: dict[tuple[int, int, int], int] = {}
    places = [
        [edges.setdefault(edge, len(edges)) for edge in _label_edges(number, row, nodes, begun)]
        for number, tree in enumerate(trees)
        for row, nodes in zip(tree.rows, tree.places, strict=True)
    ]
    tree_N, node_N, target_N = torch.tensor(list(edges), device=view.device).unbind(1)
    return Part(
        [row for tree in trees for row in tree.rows], output.last_hidden_state[tree_N, node_N], target_N, places
    )


def _label_edges(number: int, row: Row, nodes: Sequence[int], begun: int) -> Iterator[tuple[int, int, int]]:
    """Tree, node before it, and id of every label token of a row."""
    return ((number, nodes[at - 1 - begun], row.ids[at]) for at, wanted in enumerate(row.labels) if wanted)


def _padded(trees: Sequence[Tree], pad_id: int, begun: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, positions, and who sees whom, padded on the right; padding sees everything and nobody sees it."""
    count, length = len(trees), max(len(tree.ids) for tree in trees)
    ids_KT = torch.full((count, length), pad_id)
    positions_KT = torch.full((count, length), begun)
    sees_KTS = torch.zeros(count, length, begun + length, dtype=torch.bool)
    sees_KTS[:, :, :begun] = True
    for number, tree in enumerate(trees):
        size = len(tree.ids)
        ids_KT[number, :size] = torch.tensor(tree.ids)
        positions_KT[number, :size] += torch.tensor(tree.depths)
        sees_KTS[number, :size, begun : begun + size] = tree.sees_TT()
        sees_KTS[number, size:] = True
    return ids_KT, positions_KT, sees_KTS


def _mask(view: View, sees_KTS: Tensor) -> Tensor:
    """The mask as the model's attention wants it: truth values, or what is added to the scores."""
    sees_K1TS = sees_KTS[:, None].to(view.device)
    if view.anatomy.config._attn_implementation == "sdpa":
        return sees_K1TS
    dtype = next(view.anatomy.embed.parameters()).dtype
    return torch.zeros_like(sees_K1TS, dtype=dtype).masked_fill(~sees_K1TS, torch.finfo(dtype).min)
