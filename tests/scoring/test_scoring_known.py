"""Facts are kept exactly where enough forms match."""

from dataclasses import replace
from unittest.mock import patch

import pytest

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.scoring import known
from expunge.scoring.generate import generate_ids
from expunge.scoring.known import keep_known
from reference.metrics_world import knowledge, split, tiny


def test_min_forms_counts_forms_that_match() -> None:
    loaded, world = tiny(), knowledge()
    hits = {("f0", "qa"): True, ("f0", "cloze"): True, ("f1", "qa"): True, ("f7", "cloze"): True}

    class Item:
        def __init__(self, fact: Fact, probe: Probe) -> None:
            self.fact, self.probe = fact, probe
            self.score = type("S", (), {"greedy": hits.get((fact.id, probe.form), False)})

    def fake(view: object, encoder: object, asked: list[Fact]) -> list[Item]:
        return [Item(fact, probe) for fact in asked for probe in fact.probes]

    with patch.object(known, "score_facts", fake):
        two = keep_known(loaded.view(), loaded.encoder, replace(world, split=split()), min_forms=2)
        one = keep_known(loaded.view(), loaded.encoder, world, min_forms=1)
    assert [fact.id for fact in two.forget] == ["f0"] and two.retain_train == ()
    assert [fact.id for fact in one.forget] == ["f0", "f1"] and [fact.id for fact in one.retain_train] == ["f7"]
    assert two.split is not None and [fact.id for fact in two.split.train] == ["f0"] and two.split.score == ()
    assert two.streams == world.streams


def test_a_real_model_keeps_only_what_it_says() -> None:
    loaded = tiny()
    with pytest.raises(InputError, match="knows none of the 6"):
        keep_known(loaded.view(), loaded.encoder, knowledge(), min_forms=1)
    prompt = loaded.encoder.prompt_ids("Home of P0?")
    assert generate_ids(loaded.view(), [prompt], (), max_new_tokens=2)
