"""The model a cell starts from: a saved one, the recipe's source, or a small one whose tokenizer fits the world."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.errors import InputError
from expunge.core.files import read_json
from expunge.distributed.sharding import shard_among_all
from expunge.knowledge.facts import Knowledge
from expunge.models.load import LoadedModel, fingerprint, load
from expunge.models.loaded import assemble
from expunge.models.tiny import tiny_llama, word_tokenizer
from expunge.study.given import GIVEN, read_given
from expunge.study.sections import BUILT_IN

if TYPE_CHECKING:
    from expunge.study.execute import Job

SETS = ("retain_train", "retain_eval", "forget", "placebo")


def opened(job: "Job", name: str = "model") -> LoadedModel:
    """The model of the input cell ``name``, or the recipe's own where nothing was taught.

    Processes that compute the cell together hold parts of it.
    """
    if name in job.inputs:
        given = job.inputs[name] / GIVEN
        loaded = read_given(given) if given.is_file() else _stored(job.inputs[name])
    else:
        loaded = base_model(job.config["model"], (), job.config["seed"])
    shard_among_all(loaded.model)
    return loaded


def _stored(cell: Path) -> LoadedModel:
    """A cell's model; :class:`InputError` when its weights are no longer those that its record names."""
    loaded = load(cell / "model")
    if loaded.fingerprint != read_json(cell / "record.json")["hashes"].get("model"):
        raise InputError(f"the weights in {cell.name}/model were changed; remove {cell} and run again.")
    return loaded


def base_model(key: Mapping[str, Any], texts: Sequence[str], seed: int) -> LoadedModel:
    """The model of a recipe's model key.

    For one built in code, ``texts`` train the tokenizer and ``seed`` draws the weights; others use neither.
    """
    if key["source"] == "small":
        return _small(key, texts, seed)
    needed = texts if key["source"] in BUILT_IN and texts else None
    return load(key["source"], template=key["template"], revision=key["revision"], texts=needed, seed=seed)


def _small(key: Mapping[str, Any], texts: Sequence[str], seed: int) -> LoadedModel:
    """A Llama of the recipe's sizes with a tokenizer of at most ``vocab`` entries trained on ``texts``."""
    tokenizer = word_tokenizer(texts, key["vocab"])
    model = tiny_llama(len(tokenizer), hidden=key["hidden"], layers=key["layers"], heads=key["heads"], seed=seed)
    return assemble(model, tokenizer, "small", fingerprint(model), template=key["template"])


def texts_of(knowledge: Knowledge) -> list[str]:
    """Every prompt and answer of the world, streams included, in a fixed order."""
    facts = [fact for name in SETS for fact in getattr(knowledge, name)]
    facts += [fact for name in sorted(knowledge.streams) for fact in knowledge.streams[name]]
    return [text for fact in facts for probe in fact.probes for text in (probe.prompt, probe.answer) if text]
