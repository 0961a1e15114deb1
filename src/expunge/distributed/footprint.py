"""The memory of one training step by formula: what is alive at each moment of it, counted tensor by tensor.

Everything is float32 unless said otherwise; activations are those of a Llama-like decoder whose attention keeps no
scores. Letters: D width, F width inside the MLP, K width of all keys (or values), V vocabulary, L blocks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NUMBER = 4
"""Bytes of a float32 number."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """The sizes of a decoder: L ``blocks``, D ``width``, F ``inner``, K ``keys``, V ``vocabulary``; tied or not."""

    blocks: int
    width: int
    inner: int
    keys: int
    vocabulary: int
    tied: bool = True

    @property
    def block(self) -> int:
        """Weights of one block: queries and output D², keys and values DK, three MLP maps DF, two norms D."""
        d = self.width
        return 2 * d * d + 2 * d * self.keys + 3 * d * self.inner + 2 * d

    @property
    def embedding(self) -> int:
        """Weights of the embedding, or of the unembedding."""
        return self.vocabulary * self.width

    @property
    def weights(self) -> int:
        """All weights; a tied unembedding is none of its own."""
        return self.blocks * self.block + self.embedding * (1 if self.tied else 2) + self.width

    def kept(self, tokens: int, labels: int, blocks: int | None = None) -> int:
        """Numbers that a forward pass keeps for the backward pass; ``blocks`` of them run, and then no unembedding.

        A block and token: each norm keeps its input, the normalised input and its output (6D); attention keeps
        queries, keys, values and its output, once for itself and once for the output map (3D + 2K); the MLP keeps the
        gate before and after its nonlinearity, the other factor, and their product (4F). A label keeps its logits and
        their log-softmax, and the backward pass begins with the gradient of these (3V).
        """
        a_token = 9 * self.width + 2 * self.keys + 4 * self.inner
        if blocks is not None:
            return tokens * a_token * blocks
        return tokens * (a_token * self.blocks + 3 * self.width) + 3 * labels * self.vocabulary

    def adapters(self, rank: int) -> int:
        """Weights of low-rank adapters on every linear map of the blocks: rank × (inputs + outputs)."""
        d, f, k = self.width, self.inner, self.keys
        return self.blocks * rank * (2 * (d + d) + 2 * (d + k) + 3 * (d + f))


def decoder_of(config: Any) -> Decoder | None:
    """The sizes in a Hugging Face config; ``None`` for one that does not name them all."""
    names = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
    if not all(isinstance(getattr(config, name, None), int) for name in names):
        return None
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys = head * (getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    sizes = (config.num_hidden_layers, config.hidden_size, config.intermediate_size, keys, config.vocab_size)
    return Decoder(*sizes, bool(getattr(config, "tie_word_embeddings", False)))


@dataclass(frozen=True, slots=True)
class Recipe:
    """What of a method decides memory, in tensors for each moving weight.

    ``alive`` are those of the smoother during its last forget pass: the perturbation, the perturbed weights, and sums
    of earlier gradients. ``spare`` of them stay between the passes. ``watched``: whether the first step keeps a copy
    of the weights to see that something moved (our loop does). ``keeps``: whether a second pass adds to the gradients.
    ``rank`` is that of adapters, ``stops`` the number of blocks that a pass runs, where it does not run all.
    """

    alive: float = 0
    spare: float = 0
    watched: bool = True
    keeps: bool = True
    rank: int | None = None
    stops: int | None = None


METHODS: Mapping[str, Recipe] = {
    "plain": Recipe(watched=False, keeps=False),
    "npo": Recipe(),
    "npo+sam": Recipe(alive=2, spare=1),
    "npo+random_smoothing": Recipe(alive=3, spare=1),
    "rmu": Recipe(stops=2),
    "npo@lora": Recipe(rank=16),
}
"""``plain`` is a fine-tuning step. SAM holds its perturbation and the perturbed weights; random smoothing holds the
noise, the perturbed weights, and the sum of the gradients so far. RMU reads block 1 and stops behind it."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes alive at the moments that can be the fullest; without what the interpreter and libraries take."""

    loading: float
    forget_pass: float
    keep_pass: float
    first_update: float

    @property
    def peak(self) -> float:
        """The most of them."""
        return max(self.loading, self.forget_pass, self.keep_pass, self.first_update)

    @property
    def moment(self) -> str:
        """When that is."""
        named = {
            "loading": self.loading,
            "forget pass": self.forget_pass,
            "keep pass": self.keep_pass,
            "first update": self.first_update,
        }
        return max(named, key=lambda name: named[name])


def footprint(model: Decoder, recipe: Recipe, tokens: int, labels: int, moments: int = 2) -> Footprint:
    """The moments of training with AdamW (``moments`` tensors a weight; 0 for plain SGD), one micro-batch a pass.

    Loading holds the file and the model. A backward pass that begins without gradients frees activations while
    gradients come, so the larger of both counts; one that adds to gradients holds both, and a tied embedding's first
    part until the second comes. The first update holds gradients, moments and the copy that is compared.
    """
    frozen = model.weights
    moving = frozen if recipe.rank is None else model.adapters(recipe.rank)
    held = frozen + (moving if recipe.rank is not None else 0)
    kept = model.kept(tokens, labels, recipe.stops)
    apart = model.embedding if model.tied and recipe.rank is None and recipe.stops is None else 0
    steady = held + moments * moving
    keep = steady + (recipe.spare + 1) * moving + kept + apart if recipe.keeps else 0
    update = steady + (recipe.spare + 1 + recipe.watched) * moving
    forget = steady + recipe.alive * moving + max(kept, moving + apart)
    return Footprint(*(NUMBER * float(number) for number in (2 * frozen, forget, keep, update)))
