"""A universal suffix: a few tokens between any question and its answer that bring the answers back."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from expunge.attacks.coordinate import Search
from expunge.attacks.gap import Filler, Gap, asked_with, gap_of, opened, plain_tokens, sendable, text_of
from expunge.attacks.gap_loss import GapLoss
from expunge.attacks.prompting import Try
from expunge.attacks.tuned import TunedPrompt, Wording, typed
from expunge.attacks.variants import Material
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.models.chat import Encoder
from expunge.models.load import LoadedModel
from expunge.registry import attack, suggestion
from expunge.scoring.containment import contains
from expunge.scoring.generate import Ids
from expunge.scoring.probes import Asked

Send = Literal["text", "tokens"]


@attack("suffix")
@dataclass(frozen=True, kw_only=True)
class Suffix(TunedPrompt):
    """DUA: one suffix q for all questions by greedy coordinate gradient, trained on T, tried on V.

    Yuan et al. (arXiv 2408.10682): q minimises the mean over T of −log p(answer | question; q), the answer's summed
    tokens, in the attacked model; the search is GCG's (Zou et al., arXiv 2307.15043). ``budgets`` count its steps (GCG
    takes 500; ours bound the time on a CPU). ``length`` = 20 tokens and ``top_k`` = 256 are GCG's; of ``candidates`` a
    step it tries 512, we 64, for the same reason.

    ``send`` = ``text``: the attacker types the suffix, so candidates must print and come out of the tokenizer as the
    same tokens behind every question that is trained on, and V is scored on that text. ``tokens``: the attacker puts
    token ids into the model, any but special ones; an upper bound of the former. In either case no suffix may hold an
    answer of T, which would help with that question and with no other (our choice).
    """

    name: ClassVar[str] = "suffix"
    paper: ClassVar[str] = "Yuan et al. 2025, arXiv 2408.10682"

    length: int = 20
    candidates: int = 64
    top_k: int = 256
    send: Send = "text"

    def __post_init__(self) -> None:
        """Refuse an empty suffix, a step without candidates, and an unknown way of sending."""
        TunedPrompt.__post_init__(self)
        self.at_least_one("length", "candidates", "top_k")
        if self.send not in get_args(Send):
            raise InputError(f"attack {self.name!r}: unknown send {self.send!r}; {suggestion(self.send, SENDERS)}")

    def wordings(self, holder: LoadedModel, taught: Sequence[Asked], material: Material) -> Mapping[int, Wording]:
        """The best suffix after each budget of steps."""
        encoder, as_text = holder.encoder, self.send == "text"
        filler, gaps = opened(encoder, taught, self.length)
        pairs = [(taught[place], gap) for place, gap in gaps.items()]
        search = Search(
            GapLoss(holder.view(), list(gaps.values())),
            plain_tokens(holder.tokenizer, as_text=as_text),
            may_try(encoder, pairs, as_text),
            self.candidates,
            self.top_k,
            random.Random(derive(material.seed, self.name, "search")),
            may_keep(encoder, pairs, as_text),
        )
        path = search.path(filler.ids, self.budgets[-1])
        make = SENDERS[self.send]
        return {n: make(encoder, material.encoder, pairs[0][1], filler, path[n].suffix) for n in self.budgets}


@attack("suffix_transfer")
@dataclass(frozen=True, kw_only=True)
class SuffixTransfer(Suffix):
    """The same suffix trained on the original model, which the attacker holds, and tried on the unlearned one.

    DUA's second level of access. Of the unlearned model only an interface is needed. See :class:`Suffix` for the
    fields.
    """

    name: ClassVar[str] = "suffix_transfer"
    needs: ClassVar[tuple[str, ...]] = ("original", "T", "outputs", "logprobs")
    known: ClassVar[tuple[str, ...]] = ("original",)

    sources: tuple[str, ...] = ("original",)


def may_try(encoder: Encoder, pairs: Sequence[tuple[Asked, Gap]], as_text: bool) -> Callable[[Ids], bool]:
    """Says of a suffix whether it tells no answer of ``pairs`` and, as text, arrives as it is behind the first."""

    def fits(suffix: Ids) -> bool:
        text = text_of(encoder, pairs[0][1], suffix)
        if any(contains(text, asked.probe.answer) for asked, _ in pairs):
            return False
        return not as_text or sendable(encoder, pairs[:1], suffix)

    return fits


def may_keep(encoder: Encoder, pairs: Sequence[tuple[Asked, Gap]], as_text: bool) -> Callable[[Ids], bool]:
    """Says of a suffix whether, as text, it arrives as it is behind every question."""
    return lambda suffix: not as_text or sendable(encoder, pairs, suffix)


def _typed(trained: Encoder, asked: Encoder, gap: Gap, _filler: Filler, suffix: Ids) -> Wording:
    """The suffix as text after the question."""
    text = text_of(trained, gap, suffix)
    return typed(asked, lambda item: asked_with(item, text))


def _inserted(trained: Encoder, asked: Encoder, gap: Gap, filler: Filler, suffix: Ids) -> Wording:
    """The suffix as ids in the question's gap."""
    if trained.tokenizer.get_vocab() != asked.tokenizer.get_vocab():
        raise InputError("the two models have different tokenizers, so tokens mean nothing to both; set send to text.")
    text = text_of(trained, gap, suffix)

    def put(item: Asked) -> Try | None:
        try:
            own = gap_of(asked, item, filler)
        except InputError:
            return None
        return None if own is None else Try(item, asked_with(item, text), own.row(suffix))

    return put


SENDERS: Mapping[str, Callable[[Encoder, Encoder, Gap, Filler, Ids], Wording]] = {"text": _typed, "tokens": _inserted}
"""How a suffix reaches the model."""
