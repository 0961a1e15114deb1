"""What a model answers to questions; shared by the builders that let it write answers."""

from collections.abc import Sequence

from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Probe
from expunge.models.loaded import LoadedModel
from expunge.scoring.generate import generate_ids


def answers(
    loaded: LoadedModel, asked: Sequence[Probe], *, max_new_tokens: int, temperature: float, seed: int
) -> list[str]:
    """One sampled answer a probe, all in batches; where the context is too short, answers are."""
    encoder, ends = loaded.encoder, set(loaded.encoder.end_ids)
    prompts = [question_ids(probe, encoder) for probe in asked]
    new = room(prompts, encoder.max_length, max_new_tokens)
    made = generate_ids(loaded.view(), prompts, ends, max_new_tokens=new, temperature=temperature, seed=seed)
    return [encoder.decode(ids[:-1] if ids[-1] in ends else ids).strip() for ids in made]


def room(prompts: Sequence[tuple[int, ...]], context: int | None, most: int) -> int:
    """New tokens that fit behind the longest prompt, with one to spare for the end token, and at most ``most``."""
    longest = max(map(len, prompts), default=0)
    return most if context is None else max(1, min(most, context - longest - 1))
