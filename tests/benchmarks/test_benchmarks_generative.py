"""What a model still writes: every checker on both sides, surprise at text, and what multiple choice does not see."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge import api
from expunge.benchmarks.generative import follow, measure_generative, perplexity
from expunge.benchmarks.instructions import KINDS, TOPICS, instructions
from expunge.benchmarks.utility_scores import measure_utility
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.models.load import LoadedModel
from expunge.models.load import load as load_model
from expunge.scoring.choices import choices
from expunge.scoring.generate import generate
from expunge.study.plan import study_of
from expunge.study.recipe import load
from reference import generative as twin
from reference.official import tiny
from reference.tiny_study import RECIPE


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_a_checker_takes_what_complies_and_refuses_each_near_miss(kind: str, seed: int) -> None:
    for one in (found for found in instructions(2 * len(KINDS), seed=seed) if found.kind == kind):
        right, wrong = twin.answers(kind, one.topic, one.text)
        assert one.followed(right) and one.followed(f"\n {right} \n"), (one.text, right)
        assert [answer for answer in wrong if one.followed(answer)] == [], one.text
        other = next(topic for topic in TOPICS if topic != one.topic)
        assert not one.followed(right.replace(one.topic, other).replace(one.topic.upper(), other.upper()))


def test_one_word_over_and_over_follows_nothing() -> None:
    for one in instructions(96):
        for word in ("the", "a", "-", "\n", "word,"):
            assert not one.followed(" ".join([word] * 160)) and not one.followed(word * 12)


def test_the_draw_is_every_kind_in_turn_and_the_seeds_own() -> None:
    first = instructions(24, seed=1)
    assert [one.kind for one in first] == [*KINDS, *KINDS]
    assert [one.text for one in first] == [one.text for one in instructions(48, seed=1)][:24]
    assert [one.text for one in first] != [one.text for one in instructions(24, seed=2)]
    assert len({one.text for one in instructions(48)}) > 40
    with pytest.raises(InputError, match="at least 1"):
        instructions(0)


def test_a_fenced_object_is_an_object() -> None:
    one = next(found for found in instructions(12) if found.kind == "json")
    right, _ = twin.answers("json", one.topic, one.text)
    assert one.followed(f"```json\n{right}\n```") and not one.followed("[" * 5000)


def test_surprise_is_that_of_the_plain_model_by_token_and_by_word() -> None:
    loaded = tiny()
    texts = ["the cat sat", "a much longer line of words than the other one", "so"]
    found = perplexity(loaded.view(), loaded.encoder, texts)
    total, tokens, words = twin.surprise(loaded, texts)
    assert found["nats_per_token"].value == pytest.approx(total / tokens, rel=1e-4)
    assert found["nats_per_word"].value == pytest.approx(total / words, rel=1e-4)
    for bad in ([], ["a", "  "]):
        with pytest.raises(InputError, match="hold words"):
            perplexity(loaded.view(), loaded.encoder, bad)


def loops(word: str) -> LoadedModel:
    """A tiny model whose unembedding has a bias for one token: it writes nothing else, and options keep their order."""
    loaded = load_model("tiny", template="plain")
    (token,) = loaded.tokenizer(word, add_special_tokens=False)["input_ids"]
    old: Any = loaded.model.get_output_embeddings()
    head = torch.nn.Linear(old.in_features, old.out_features, bias=True)
    with torch.no_grad():
        head.weight.copy_(old.weight)
        head.bias.zero_()
        head.bias[token] = 30.0
    loaded.model.set_output_embeddings(head)
    return loaded


def test_a_broken_generator_keeps_its_multiple_choice_and_is_found_here() -> None:
    broken, whole = loops("z"), load_model("tiny", template="plain")
    facts = [Fact(str(n), str(n), (Probe(f"Row {n}? Answer:", "A", "choice", ("B", "C", "D")),)) for n in range(12)]
    picks = [
        [choice.picked() for choice in choices(loaded.view(), loaded.encoder.raw, facts)] for loaded in (whole, broken)
    ]
    assert picks[0] == picks[1], "options of one token each are shifted alike"
    said = generate(broken.view(), broken.encoder, ["Who?"], max_new_tokens=12)
    assert said == ["z" * 12]
    assert follow(broken.view(), broken.encoder, instructions(12)).value == 0.0
    surprise = [perplexity(one.view(), one.encoder, ["the cat sat"])["nats_per_token"].value for one in (whole, broken)]
    assert surprise[0] is not None and surprise[1] is not None and surprise[1] > surprise[0] + 10


def test_what_complies_counts_and_what_does_not_is_no_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = instructions(12)
    right = [twin.answers(one.kind, one.topic, one.text)[0] for one in asked]
    texts = [text if place % 3 else "no" for place, text in enumerate(right)]
    monkeypatch.setattr("expunge.benchmarks.generative.generate", lambda *_args, **_named: texts)
    loaded = tiny()
    found = follow(loaded.view(), loaded.encoder, asked)
    assert found.value == pytest.approx(8 / 12) and found.n == 12


def test_they_are_utility_sets_by_name_and_need_no_package() -> None:
    found = measure_utility(tiny(), ("instructions", "perplexity"), limit=2)
    assert found.keys() == {"instructions", "nats_per_token", "nats_per_word"} and found["instructions"].n == 2
    alone = measure_generative(tiny().view(), tiny().encoder, num=2)
    assert alone == found


def test_a_recipe_measures_them_on_every_model(tmp_path: Path) -> None:
    attack = {"name": "relearn", "sources": ["qa"], "rates": [1e-3], "steps": [1], "batch_size": 4, "extend": False}
    teach = {"forms": ["qa"], "train": {"lr": 1e-3, "steps": 2, "batch_size": 8}}
    plain = {**RECIPE, "teach": teach, "attacks": [attack]}
    raw = {**plain, "eval": {**RECIPE["eval"], "generative": True}}
    cells, before = ({cell.folder: cell for cell in study_of(load(one)).cells} for one in (raw, plain))
    assert {cells[folder].kind for folder in cells.keys() - before.keys()} == {"evaluate", "audit"}
    result = api.run(raw, out=tmp_path / "run")
    assert not result.failed
    for path in result.folder.glob("cells/evaluate-*/record.json"):
        record = json.loads(path.read_text())
        named = {key for key in record["metrics"] if key.startswith("general.")}
        asked = not record["label"].endswith("original")
        expected = {"general.instructions", "general.nats_per_token", "general.nats_per_word"}
        assert named == (expected if asked else set())
    assert "general: nats per word" in (result.folder / "report.md").read_text()
