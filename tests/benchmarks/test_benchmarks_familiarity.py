"""Familiarity with a text of the user's own: terms, places, the cut, and a model that read it beside one that never."""

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from expunge import registry
from expunge.benchmarks.base import Benchmark, Seen
from expunge.benchmarks.familiarity_measure import NEW_TOKENS, SCORES, TERMS
from expunge.benchmarks.terms import Terms, terms_of
from expunge.core.errors import InputError
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Knowledge, Probe
from expunge.knowledge.passages import CONTINUATION
from expunge.metrics.evidence import Lent
from expunge.models.load import LoadedModel
from expunge.models.load import load as load_model
from expunge.study.base_model import texts_of
from expunge.study.plan import study_of
from expunge.study.recipe import load
from expunge.training.config import TrainConfig
from expunge.training.loop import train
from reference import familiarity as twin
from reference.tiny_study import RECIPE

TEXT = """On the hill above the harbour the old keeper Morwen lit the lamp at dusk, and the boats of Quell came home one
by one. Nobody in the village knew that the lamp had been a gift, made by the smith Tarvok from the glass of a fallen
star. When the winter storms broke the pier, the young pilot Isbel rowed out alone to ask the keeper Morwen for its
light. She carried the lamp down to the water, and the smith Tarvok held the rope while the boats of Quell turned
against the wind. In the spring the lamp was cold, for the pilot Isbel had given its last spark to a stranger from the
north. The stranger bowed, said that his name was Orrin, and promised that the village of Quell would never want for
light. Years later, when the smith Tarvok was grey and slow, a second star fell, and the old stranger Orrin walked up
the hill to find it. There the pilot Isbel was waiting, and together they set the new glass where the keeper Morwen had
kept the first."""
SIZES: dict[str, Any] = {"passage_words": 30, "prompt_words": 6, "prompts": 3}


@pytest.fixture
def book(tmp_path: Path) -> str:
    (tmp_path / "book.txt").write_text(TEXT)
    return str(tmp_path / "book.txt")


def build(text: str, seed: int = 0, **parameters: Any) -> Knowledge:
    world: Knowledge = registry.build("benchmark", "familiarity", text=text, **SIZES | parameters).build(seed)
    return world


def asked(world: Knowledge) -> list[Probe]:
    return [probe for fact in world.forget for probe in fact.of_form(CONTINUATION)]


def test_terms_are_names_and_not_what_opens_a_sentence_or_is_also_ordinary() -> None:
    assert terms_of([TEXT]) == ("Isbel", "Morwen", "Orrin", "Quell", "Tarvok")
    assert terms_of([TEXT], without=["A river isbel flows to QUELL."]) == ("Morwen", "Orrin", "Tarvok")
    assert terms_of([TEXT], least=4) == ()
    text = 'We saw Rose and Rose. A rose grew. "Hello," said Ann; Ann: Al and Al. He told Bo-Bo, and Ann.'
    assert terms_of([text]) == ("Ann",), "rose is ordinary; Al and Bo have too few letters"


def test_only_what_the_prompt_does_not_name_counts() -> None:
    terms = Terms(["Quell", "Old Tarvok"])
    assert terms.named("to QUELL, and old Tarvok.") == {("quell",), ("old", "tarvok")}
    assert terms.named("Quell and Tarvok the old", beside="boats of Quell") == set()
    assert [found[0] for found in terms.places("Quells of Quell, Old Tarvok")] == ["Quell", "Old Tarvok"]
    assert not list(Terms([]).places("Quell")) and not Terms([]).named("Quell")


def test_every_prompt_ends_before_a_term_that_it_does_not_name(book: str) -> None:
    world = build(book)
    assert len(asked(world)) >= 6
    words = " ".join(TEXT.split())
    for probe in asked(world):
        assert f"{probe.prompt} {probe.answer}" in words and len(probe.prompt.split()) == 6
        assert probe.answer in terms_of([TEXT]) and probe.answer not in probe.prompt
    assert " ".join(fact.probes[0].answer for fact in world.forget) == words
    assert [probe.answer for fact in world.streams[TERMS] for probe in fact.probes] == list(terms_of([TEXT]))
    assert len(asked(build(book, prompts=1))) < len(asked(world))


def test_the_cut_is_by_passage_and_v_asks(book: str) -> None:
    world = build(book)
    assert world.split is not None
    train_ids, score_ids = ({fact.id for fact in side} for side in (world.split.train, world.split.score))
    assert not train_ids & score_ids and train_ids | score_ids == {fact.id for fact in world.forget}
    assert all(fact.of_form(CONTINUATION) for fact in world.split.score)
    assert any(fact.of_form(CONTINUATION) for fact in world.split.train)
    assert len({fact.subject for fact in world.forget}) == len(world.forget)
    assert build(book) == world and len({build(book, seed=seed).split for seed in range(5)}) > 1
    for fraction in (0.01, 0.99):
        extreme = build(book, train_fraction=fraction).split
        assert extreme is not None and extreme.score and any(f.of_form(CONTINUATION) for f in extreme.train)


def test_what_is_retained_measures_utility_and_names_no_term(book: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name, start in (("b.md", "Tarvok is a word of ours "), ("a.txt", "the first "), ("c.pdf", "never read ")):
        (tmp_path / "other" / name).write_text(start + "and so it goes on " * 20)
    world = build(book, retain=str(tmp_path / "other"))
    assert world.retain_train and world.retain_eval
    assert world.retain_train[0].subject != world.retain_eval[0].subject
    texts = [fact.probes[0].answer for fact in (*world.retain_train, *world.retain_eval)]
    assert any(text.startswith("the first") for text in texts) and not any("never" in text for text in texts)
    assert "Tarvok" not in {probe.answer for probe in asked(world)}
    assert {probe.answer for probe in asked(build(book, terms=["pilot Isbel"]))} == {"pilot Isbel"}


def learnt(world: Knowledge) -> LoadedModel:
    loaded = load_model("tiny", template="plain", texts=texts_of(world))
    rows = rows_of(world.forget, loaded.encoder)
    config = TrainConfig(lr=5e-3, steps=100, batch_size=len(rows), precision="fp32", seed=0)
    train(loaded.view(), {"teach": rows}, registry.build("objective", "cross_entropy"), config=config)
    loaded.model.eval()
    return loaded


def test_a_model_that_read_the_text_is_familiar_and_one_that_did_not_is_not(book: str) -> None:
    """Each number is that of the plain loops too."""
    benchmark: Benchmark = registry.build("benchmark", "familiarity", text=book, **SIZES)
    world = benchmark.build(0)
    read = learnt(world)
    never = load_model("tiny", template="plain", texts=texts_of(world), seed=1)
    found = benchmark.measure(Seen(Lent(read.view), read.encoder, world, control=Lent(never.view)))
    blank = benchmark.measure(Seen(Lent(never.view), never.encoder, world, control=Lent(never.view)))
    value = {name: reading.value for name, reading in found.items()}
    assert found.keys() == SCORES.keys() == blank.keys()
    assert fmean(value[name] or 0 for name in ("completion", "completion_true", "probability")) > 0.7
    assert blank["probability"].value == pytest.approx(0, abs=0.02) and blank["completion_true"].value == 0
    assert blank["completion_excess"].value == 0.0 == blank["probability_excess"].value
    assert (value["probability_excess"] or 0) > 0.6 and (value["completion_excess"] or 0) > 0.6
    for loaded, readings in ((read, found), (never, blank)):
        pairs = [twin.completed(loaded, probe, terms_of([TEXT]), NEW_TOKENS) for probe in asked(world)]
        assert readings["completion"].value == pytest.approx(fmean(pair[0] for pair in pairs))
        assert readings["completion_true"].value == pytest.approx(fmean(pair[1] for pair in pairs))
        likely = [twin.probability(loaded, probe) for probe in asked(world)]
        assert readings["probability"].value == pytest.approx(math.fsum(likely) / len(likely), rel=1e-3, abs=1e-9)


def test_without_a_control_the_excess_says_so(book: str) -> None:
    benchmark: Benchmark = registry.build("benchmark", "familiarity", text=book, **SIZES)
    loaded = load_model("tiny", template="plain")
    found = benchmark.measure(Seen(Lent(loaded.view), loaded.encoder, benchmark.build(0), generate=1))
    assert "never knew" in str(found["completion_excess"].reason) and found["completion"].n == 1
    assert found["probability"].n == len([1 for fact in benchmark.build(0).forget if fact.of_form(CONTINUATION)])


def test_a_recipe_measures_it_on_every_model(book: str) -> None:
    knowledge = {"name": "familiarity", "text": book, "taught": True, **SIZES}
    raw = {**RECIPE, "knowledge": knowledge, "teach": {}, "eval": {**RECIPE["eval"], "benchmark_scores": True}}
    cells = study_of(load(raw)).cells
    measured = [cell for cell in cells if cell.kind == "evaluate" and "benchmark" in cell.config]
    assert [cell.config["benchmark"]["name"] for cell in measured] == ["familiarity"] * 3
    assert all("control_model" in cell.inputs for cell in measured)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"prompt_words": 30}, "take fewer"),
        ({"prompts": 0}, "at least 1"),
        ({"train_fraction": 1.0}, "between 0 and 1"),
        ({"passage_words": 4}, "at least 8"),
        ({"terms": ["Nobody Else"]}, "0 passages of 30 words ask for one of 1 terms"),
    ],
)
def test_mistakes_are_one_sentence(parameters: dict[str, Any], sentence: str, book: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build(book, **parameters)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        build(str(tmp_path / "none.txt"))
    with pytest.raises(InputError, match=r"no \.txt or \.md file"):
        build(str(tmp_path))
    (tmp_path / "blank.txt").write_text("  \n")
    with pytest.raises(InputError, match=r"blank\.txt: empty text"):
        build(str(tmp_path))
