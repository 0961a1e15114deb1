"""SmolLM2 behind real servers: the one that transformers ships, and a small one over our own generation."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from expunge import api
from expunge.api import suites
from expunge.core.errors import InputError
from expunge.models.endpoint import Endpoint
from expunge.models.load import load
from expunge.models.text_only import Turn
from expunge.scoring.by_text import written
from expunge.scoring.judges.base import Case, judge_of
from reference.stub_server import serving
from reference.transformers_server import needs_transformers_serve, transformers_serve

QUESTIONS = ("What is the capital of France?", "What is the capital of Italy?")
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Germany": "Berlin", "Spain": "Madrid", "Russia": "Moscow",
    "Egypt": "Cairo", "Greece": "Athens", "Portugal": "Lisbon", "Austria": "Vienna", "Poland": "Warsaw",
    "Ireland": "Dublin", "Norway": "Oslo", "Cuba": "Havana", "Kenya": "Nairobi", "Peru": "Lima",
}  # fmt: skip


@contextmanager
def ours() -> Iterator[str]:
    """A server over our own generation, in this process."""
    loaded = load("smollm2")

    def answer(body: Any, _: int) -> str:
        asked = "\n".join(message["content"] for message in body["messages"])
        options = {
            "max_new_tokens": body["max_tokens"],
            "temperature": body["temperature"],
            "seed": body.get("seed", 0),
        }
        return written(loaded, [Turn(asked)], **options)[0]

    with serving(answer) as stub:
        yield f"{stub.address}?model=smollm2&parallel=1"


@contextmanager
def theirs() -> Iterator[str]:
    """``transformers serve`` in a process of its own."""
    with transformers_serve() as served:
        yield served.address


SERVERS = [
    pytest.param(ours, id="ours"),
    pytest.param(theirs, id="transformers serve", marks=needs_transformers_serve),
]


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_smollm2_behind_a_server_is_smollm2(server: Any) -> None:
    """Greedy answers are those of the model in memory; draws follow from their seeds where the server keeps them."""
    near = load("smollm2")
    turns = [Turn(question) for question in QUESTIONS]
    with server() as address:
        far = Endpoint(address)
        far.ping()
        assert far.say(turns, max_new_tokens=12) == written(near, turns, max_new_tokens=12)
        assert len(far.say([turns[0]] * 3, max_new_tokens=8, temperature=1.0)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_what_smollm2_knows_is_found_through_a_server(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (
        f'{{"prompt": "What is the capital of {c}?", "answer": "{a}", "subject": "{c}"}}' for c, a in CAPITALS.items()
    )
    (tmp_path / "forget.jsonl").write_text("\n".join(rows))
    monkeypatch.setitem(suites.BY_TEXT, "quick", {"few_shot": {"sources": "T", "budgets": [1]}})
    with server() as address:
        done = api.audit(address, tmp_path / "forget.jsonl", suite="quick", out=tmp_path / "a")
    assert done.verdict == "retained" and not done.failed


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_smollm2_can_sit_as_judge(server: Any) -> None:
    """So small a model may not find its word; then the row is named, and never a verdict made up."""
    with server() as address:
        base, _, options = address.partition("?")
        model = options.partition("&")[0].removeprefix("model=")
        judge = judge_of({"name": "llm", "base_url": base, "model": model, "parallel": 1, "retries": 1})
        try:
            (ruling,) = judge.rule([Case("row-7", QUESTIONS[0], "Paris", "The capital of France is Paris.")])
        except InputError as error:
            assert "row row-7" in str(error) and "neither YES nor NO" in str(error)
        else:
            assert ruling.reply is not None and ruling.hit == ("YES" in ruling.reply.upper())
