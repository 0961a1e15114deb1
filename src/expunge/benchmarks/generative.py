"""Whether a model still writes: instructions that it follows, and how surprised it is by ordinary text.

Multiple choice only compares options, so a model that can write nothing but one word may lose none of it.
"""

from collections.abc import Mapping, Sequence

from expunge.benchmarks.base import OwnScore
from expunge.benchmarks.instructions import Instruction, instructions
from expunge.core.errors import InputError
from expunge.knowledge.worlds.texts import sentences
from expunge.metrics.base import Reading, Value, interval
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.generate import generate
from expunge.scoring.teacher_forced import score

NEW_TOKENS = 160
"""Most tokens of an answer; the longest demand is 40 words (our choice)."""
MOST = 48
"""Most instructions put before a model, four of each kind: each is answered at length (our choice)."""
INSTRUCTIONS, PERPLEXITY = "instructions", "perplexity"
SCORES: Mapping[str, OwnScore] = {
    INSTRUCTIONS: OwnScore("share of instructions that the answer follows", "higher"),
    "nats_per_token": OwnScore("surprise at ordinary text, nats a token", "lower", (0.0, float("inf"))),
    "nats_per_word": OwnScore("surprise at ordinary text, nats a word", "lower", (0.0, float("inf"))),
}
"""What is measured. ``direction`` here is what a model that is unharmed shows."""


def measure_generative(view: View, encoder: Encoder, *, num: int = MOST, seed: int = 0) -> dict[str, Reading]:
    """Every score of :data:`SCORES`, with ``num`` instructions and the packaged sentences."""
    return {INSTRUCTIONS: follow(view, encoder, instructions(num, seed=seed)), **perplexity(view, encoder)}


def follow(view: View, encoder: Encoder, asked: Sequence[Instruction]) -> Reading:
    """Share of instructions that the greedy answer follows, put through the model's own template."""
    texts = generate(view, encoder, [one.text for one in asked], max_new_tokens=NEW_TOKENS)
    values = [
        Value(str(place), float(one.followed(text))) for place, (one, text) in enumerate(zip(asked, texts, strict=True))
    ]
    return interval(values, proportion=True)


def perplexity(view: View, encoder: Encoder, texts: Sequence[str] | None = None) -> dict[str, Reading]:
    """``nats_per_token`` and ``nats_per_word`` of ``texts``, by default the packaged everyday sentences.

    exp of either is the perplexity. The value is the summed surprise over the summed tokens or words, not a mean of
    means. Two models of one tokenizer may be compared by token, models of different ones by word only: a word is what
    stands between blanks. :class:`InputError` for a text without words.
    """
    chosen = sentences() if texts is None else tuple(texts)
    words = [len(text.split()) for text in chosen]
    if not chosen or not all(words):
        raise InputError("perplexity needs texts that hold words; give some.")
    scores = score(view, [encoder.document(text, f"text-{place}") for place, text in enumerate(chosen)])
    by_token = [Value(item.key, item.nll_mean, len(item.logprobs)) for item in scores]
    by_word = [Value(item.key, item.nll_sum / count, count) for item, count in zip(scores, words, strict=True)]
    return {
        "nats_per_token": interval(by_token, proportion=False),
        "nats_per_word": interval(by_word, proportion=False),
    }
