"""Batched generation: greedy, or sampled with one random stream a prompt, so that batching never changes a text.

Shapes: B prompts of a batch, T positions (padded on the left), V vocabulary.
"""

import inspect
import random
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.distributed.ranks import Ranks
from expunge.distributed.rows import turns
from expunge.distributed.sharding import ranks_of
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.batching import batches_by_length
from expunge.scoring.engines import Engine
from expunge.scoring.teacher_forced import evaluating

Ids = tuple[int, ...]

LEAVE = 0.75
"""Finished rows leave a batch once no more than this share is unfinished: leaving copies the cache. Our choice."""


def generate(
    view: View,
    encoder: Encoder,
    prompts: Sequence[str | Ids],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    engine: Engine | None = None,
) -> list[str]:
    """What the model answers to each prompt (a question, or ids as they stand), in order, without the end token.

    ``temperature`` 0 is greedy. The text of a prompt depends on the model, the prompt, ``seed`` and its place in
    ``prompts``, never on how prompts are batched. ``engine`` (:func:`expunge.scoring.engines.engine_of`) writes in the
    place of the loop here; it must hold the same model.
    """
    ids = [encoder.prompt_ids(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
    ends = set(encoder.end_ids)
    made = generate_ids(
        view, ids, ends, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, engine=engine
    )
    return [encoder.decode(answer[:-1] if answer and answer[-1] in ends else answer) for answer in made]


def generate_ids(
    view: View,
    prompts: Sequence[Ids],
    end_ids: Collection[int],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    max_tokens: int = 4096,
    engine: Engine | None = None,
) -> list[Ids]:
    """New token ids of each prompt, the end token included where one was emitted.

    ``max_tokens`` bounds a batch's padded size with its new tokens; rows that are done leave their batch. Equal prompts
    are computed once when greedy. The ranks of a model in parts share the batches out, and each gets all texts.
    :class:`InputError` on an empty prompt, which has no position to predict from.
    """
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens is {max_new_tokens}; it must be at least 1.")
    if not all(prompts):
        raise InputError(f"prompt {list(map(bool, prompts)).index(False)} has no token; give it some text.")
    if engine is not None:
        return engine.generate_ids(prompts, end_ids, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    owners = {prompt if not temperature else (index,): index for index, prompt in reversed([*enumerate(prompts)])}
    chosen = list(owners.values())
    made: dict[int, Ids] = {}
    ranks = ranks_of(view.model)
    batches = batches_by_length([len(prompts[i]) + max_new_tokens for i in chosen], max_tokens, ranks.size)
    with evaluating(view.model):
        for batch, own in turns(batches, ranks):
            members = [chosen[i] for i in batch] if own else []
            pick = _Picker(temperature, [derive(seed, "generate", i) for i in members])
            texts = _continue(view, [prompts[i] for i in members], set(end_ids), max_new_tokens, pick) if own else []
            _wait_for_others(view, ranks)
            made.update(zip(members, texts, strict=True))
    made = ranks.merged(made)
    return [made[owners[prompt if not temperature else (index,)]] for index, prompt in enumerate(prompts)]


class _Picker:
    """Chooses the next token of each row: the argmax, or by the inverse distribution function with a row's own draw."""

    def __init__(self, temperature: float, seeds: Sequence[int]) -> None:
        self.temperature = temperature
        self.streams = [random.Random(seed) for seed in seeds]

    def __call__(self, logits_BV: Tensor, rows: Sequence[int]) -> Tensor:
        """Token ids [B] of the rows of these numbers."""
        if not self.temperature:
            return logits_BV.argmax(-1)
        cumulative_BV = (logits_BV.double() / self.temperature).softmax(-1).cumsum(-1)
        draws_B1 = torch.tensor([[self.streams[row].random()] for row in rows], dtype=torch.float64)
        scaled_B1 = draws_B1.to(logits_BV.device) * cumulative_BV[:, -1:]
        return torch.searchsorted(cumulative_BV, scaled_B1, right=True)[:, 0].clamp_max(logits_BV.shape[1] - 1)


def _continue(view: View, prompts: Sequence[Ids], ends: set[int], max_new_tokens: int, pick: _Picker) -> list[Ids]:
    """The decoding loop of one batch over the model's own cache; ``rows`` are those still in the batch."""
    ids_BT, mask_BT = _left_padded(prompts, next(iter(ends), 0), view.device)
    positions_BT = (mask_BT.cumsum(1) - 1).clamp_min(0)
    made: list[list[int]] = [[] for _ in prompts]
    rows, cache, extra = list(range(len(prompts))), None, _last_logit_only(view.model)
    ranks = ranks_of(view.model)
    for step in range(max_new_tokens):
        _going_on(ranks, True)
        outputs = view.run(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
            **extra,
        )
        next_B = pick(outputs.logits[:, -1].float(), rows)
        for row, token in zip(rows, next_B.tolist(), strict=True):
            if not _done(made[row], ends):
                made[row].append(token)
        still = [place for place, row in enumerate(rows) if not _done(made[row], ends)]
        if not still or step + 1 == max_new_tokens:
            break
        cache, ids_BT, positions_BT = outputs.past_key_values, next_B[:, None], positions_BT[:, -1:] + 1
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(rows), 1)], 1)
        if len(still) <= LEAVE * len(rows) and _divisible(cache):
            kept_B = torch.tensor(still, device=ids_BT.device)
            cache.batch_select_indices(kept_B)
            ids_BT, positions_BT, mask_BT = ids_BT[kept_B], positions_BT[kept_B], mask_BT[kept_B]
            rows = [rows[place] for place in still]
    return [tuple(row) for row in made]


def _going_on(ranks: Ranks, own: bool) -> bool:
    """Whether some rank makes another pass: then all must, since each pass gathers weights from all."""
    return ranks.sums([float(own)])[0] > 0


def _wait_for_others(view: View, ranks: Ranks) -> None:
    """Passes over a token that nobody reads, until every rank is done with its batch."""
    ids_11 = torch.zeros(1, 1, dtype=torch.long, device=view.device)
    while _going_on(ranks, False):
        view.run(input_ids=ids_11, use_cache=False)


def _done(answer: Sequence[int], ends: set[int]) -> bool:
    return bool(answer) and answer[-1] in ends


def _divisible(cache: Any) -> bool:
    """Whether rows can be taken out of a cache; a recurrent state's layers do not say how."""
    return all(hasattr(layer, "batch_select_indices") for layer in getattr(cache, "layers", (None,)))


def _left_padded(prompts: Sequence[Ids], pad_id: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    length = max(map(len, prompts))
    ids = [[pad_id] * (length - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _last_logit_only(model: nn.Module) -> dict[str, Any]:
    """Unembed the last position alone where the model can: a prompt's other logits are thrown away."""
    parameters = inspect.signature(model.forward).parameters.values()
    able = any(p.name == "logits_to_keep" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    return {"logits_to_keep": 1} if able else {}
