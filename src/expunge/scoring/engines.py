"""Engines that continue prompts in the place of the loop in :mod:`expunge.scoring.generate`; so far vLLM."""

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.registry import suggestion

Ids = tuple[int, ...]


class Engine(Protocol):
    """Continues token ids with new ones, the end token included where one was emitted."""

    def generate_ids(
        self, prompts: Sequence[Ids], end_ids: Collection[int], *, max_new_tokens: int, temperature: float, seed: int
    ) -> list[Ids]:
        """New ids of each prompt, in order."""
        ...


def engine_of(name: str, source: str | Path) -> Engine:
    """The engine ``name`` with the model at ``source``; :class:`InputError` where it cannot be had."""
    check_engine(name)
    return ENGINES[name](source)


def check_engine(name: object) -> None:
    """:class:`InputError` for an unknown engine."""
    if name not in ENGINES:
        raise InputError(f"unknown engine {name!r}; {suggestion(str(name), ENGINES)}")


class VLLM:
    """vLLM (Kwon et al., arXiv 2309.06180) with a model that is saved as a whole in a folder.

    Prompts go in and come out as token ids, so its tokenizer is not used. Greedy ids are those of the built-in loop
    but where two logits are equal up to rounding; sampled ones are others. ``dtype`` is ours, fp32; left to itself,
    vLLM halves it. ``share`` of the device's memory is taken (our choice: the model itself lies beside it).
    :class:`InputError` where the package is missing or no model is saved there.
    """

    def __init__(self, source: str | Path, *, dtype: str = "float32", share: float = 0.4) -> None:
        if find_spec("vllm") is None:
            raise InputError("the engine 'vllm' needs the package vllm; install expunge[vllm].")
        folder = Path(source)
        if not (folder / "config.json").is_file():
            raise InputError(f"the engine 'vllm' reads a model from a folder, and {source} is none; save it first.")
        self._vllm: Any = import_module("vllm")
        self._model = self._vllm.LLM(
            model=str(folder), skip_tokenizer_init=True, dtype=dtype, gpu_memory_utilization=share, seed=0
        )

    def generate_ids(
        self, prompts: Sequence[Ids], end_ids: Collection[int], *, max_new_tokens: int, temperature: float, seed: int
    ) -> list[Ids]:
        """New ids of each prompt, in order; nothing but ``end_ids`` ends a text early."""
        settings = [
            self._vllm.SamplingParams(
                temperature=temperature, max_tokens=max_new_tokens, stop_token_ids=sorted(end_ids), ignore_eos=True,
                detokenize=False, seed=derive(seed, "generate", place) % 2**31,
            )
            for place in range(len(prompts))
        ]  # fmt: skip
        given = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        outputs = self._model.generate(given, settings, use_tqdm=False) if given else []
        return [_ended(output.outputs[0], end_ids) for output in outputs]


def _ended(completion: Any, end_ids: Collection[int]) -> Ids:
    """The ids up to the first that ends a text; one that was cut off by the engine is put back."""
    ids = tuple(completion.token_ids)
    place = next((at for at, token in enumerate(ids) if token in end_ids), None)
    if place is not None:
        return ids[: place + 1]
    return (*ids, min(end_ids)) if completion.finish_reason == "stop" and end_ids else ids


ENGINES: Mapping[str, Callable[[str | Path], Engine]] = {"vllm": VLLM}
"""Engines by name."""
