"""Models behind an endpoint: what is retried, what is final, what is never told."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.models.chat_client import Client, EndpointError
from expunge.models.endpoint import GO_ON, Endpoint, is_address
from expunge.models.load import load
from expunge.models.text_only import Turn
from reference.stub_server import Answer, Reply, busy, said, serving

KEY = "sk-very-secret-1234"


def asked(answer: Answer, turns: int = 1, **options: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """What an endpoint says to ``turns`` different questions, and what it was sent."""
    with serving(answer) as stub:
        texts = Endpoint(stub.named(**options)).say([Turn(f"q{n}") for n in range(turns)], max_new_tokens=5)
        return texts, stub.asked


def first(bad: Reply, times: int) -> Answer:
    """``bad`` to the first requests, then words."""
    return lambda _, number: bad if number < times else "Orlo"


def test_a_question_is_one_greedy_chat_request() -> None:
    with serving(lambda body, _: f"heard {body['messages'][0]['content']}") as stub:
        assert Endpoint(stub.named()).say([Turn("a"), Turn("b"), Turn("a")], max_new_tokens=7) == [
            "heard a", "heard b", "heard a",
        ]  # fmt: skip
    assert sorted(stub.questions) == ["a", "b"], "equal questions are sent once"
    wanted = {"model": "stub", "max_tokens": 7, "temperature": 0.0, "stream": False}
    assert all(body.items() >= wanted.items() and len(body["messages"]) == 1 for body in stub.asked)
    assert "Authorization" not in stub.headers[0]


def test_order_holds_whoever_answers_first() -> None:
    def slow(body: dict[str, Any], _: int) -> Reply:
        name = body["messages"][0]["content"]
        return Reply(said(name).body, delay=0.1 if name == "q0" else 0.0)

    assert asked(slow, 6)[0] == [f"q{n}" for n in range(6)]


def test_every_draw_has_a_seed_of_its_own_that_follows_from_the_callers() -> None:
    def drawn(seed: int) -> list[int]:
        with serving(lambda *_: "x") as stub:
            Endpoint(stub.named(parallel=1)).say([Turn("a")] * 3, max_new_tokens=1, temperature=0.7, seed=seed)
        return [body["seed"] for body in stub.asked]

    assert len(set(drawn(1))) == 3 and drawn(1) == drawn(1) != drawn(2)


PASSING = {
    "429": busy("0"),
    "500": busy(status=500),
    "503 with a date": busy(format_datetime(datetime.now(UTC) - timedelta(seconds=9))),
    "Retry-After that means nothing": busy("soon"),
    "HTML": Reply(b"<html><body>502 Bad Gateway</body></html>"),
    "a list": Reply(b"[1]"),
    "no choices": Reply(b'{"choices": []}'),
    "content that is no text": Reply(b'{"choices": [{"message": {"content": 3}}]}'),
    "no message": Reply(b'{"error": {"message": "model is loading"}}'),
    "half a body": Reply(b'{"choices": [{"message"'),
    "not UTF-8": Reply(b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("bad", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again(bad: Reply) -> None:
    texts, sent = asked(first(bad, 2))
    assert texts == ["Orlo"] and len(sent) == 3


LASTING = {
    "429": (busy("0"), "answers 429"),
    "500": (busy(status=500), "answers 500"),
    "HTML": (Reply(b"<html>\n<body>\x1b[2JSorry"), r"not JSON \('<html> <body>\[2JSorry'\)"),
    "shape": (Reply(b'{"choices": 1}'), "no chat completion"),
    "slow": (Reply(said("x").body, delay=1.0), "does not answer within 0.2 s"),
    "trickle": (Reply(said("x").body, drip=0.05), "does not answer within 0.2 s"),
}


@pytest.mark.parametrize(("bad", "told"), LASTING.values(), ids=LASTING)
def test_what_lasts_is_one_sentence(bad: Reply, told: str) -> None:
    with pytest.raises(EndpointError, match=told) as caught:
        asked(lambda *_: bad, retries=1, timeout=0.2)
    assert "tried 2 times" in str(caught.value) and "\n" not in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(("after", "pause"), [("7.5", 7.5), ("1e9", 60), ("inf", 60), ("-5", 0), (None, 5)])
def test_retry_after_is_honoured_up_to_a_cap(after: str | None, pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with serving(first(busy(after), 1)) as stub:
        Endpoint(stub.named(wait=5)).say([Turn("q")], max_new_tokens=1)
    assert [slept for slept in pauses if slept > 1] == ([pause] if pause else [])


def test_pauses_double(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(EndpointError, match="cannot be reached"):
        Client(base_url="http://127.0.0.1:9", model="m", retries=4, wait=20).chat([], 1)
    assert pauses == [20, 40, 60, 60]


FINAL = {
    "401": (Reply(b'{"error": "Incorrect key sk-very-secret-1234"}', 401), r"answers 401 .*Incorrect key …"),
    "404": (Reply(b"no such model", 404), r"answers 404 .*no such model"),
    "400": (Reply(b"", 400), "answers 400 Bad Request; check address"),
    "redirect": (Reply(b"", 302, {"Location": "http://elsewhere.example/v1"}), "sends us on to http://elsewhere"),
    "redirect of a post": (Reply(b"", 307, {"Location": "http://elsewhere.example/v1"}), "sends us on to"),
}


@pytest.mark.parametrize(("bad", "told"), FINAL.values(), ids=FINAL)
def test_what_cannot_pass_is_final_and_the_key_is_not_told(
    bad: Reply, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_KEY", KEY)
    with serving(lambda *_: bad) as stub:
        with pytest.raises(EndpointError, match=told) as caught:
            Endpoint(stub.named(key_env="STUB_KEY")).say([Turn("q")], max_new_tokens=1)
        assert len(stub.asked) == 1 and stub.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("key", "told"), [("", "is not set"), ("a\nb", "holds no key")])
def test_a_key_that_cannot_be_is_a_sentence(key: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_KEY", key)
    with pytest.raises(EndpointError, match=told):
        Endpoint("http://127.0.0.1:9/v1?model=m&key_env=STUB_KEY").say([Turn("q")], max_new_tokens=1)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": "Orlo.", "reasoning_content": "Ada lives in Orlo"}, "Ada lives in Orlo\nOrlo."),
        ({"content": "half \ud800 a pair"}, "half ? a pair"),
    ],
)
def test_all_that_is_written_is_read(message: Any, text: str) -> None:
    assert asked(lambda *_: Reply(json.dumps({"choices": [{"message": message}]}).encode()))[0] == [text]


def test_the_only_model_needs_no_name_and_several_do() -> None:
    with serving(lambda *_: "x", ("lone",)) as stub:
        assert Endpoint(stub.address).ping() == "lone" and stub.asked[0]["model"] == "lone"
    told = r"serves 2 models \(one, two\); say which"
    with serving(lambda *_: "x", ("one", "two")) as stub, pytest.raises(EndpointError, match=told):
        Endpoint(f"{stub.address}?wait=0").ping()


def test_a_begun_answer_goes_to_servers_that_go_on_with_it_only() -> None:
    with serving(lambda *_: "Orlo") as stub:
        with pytest.raises(InputError, match="add prefill=yes"):
            Endpoint(stub.named()).say([Turn("q", "It is")], max_new_tokens=1)
        for way in ("yes", "vllm"):
            Endpoint(stub.named(prefill=way)).say([Turn("q", "It is")], max_new_tokens=1)
    assert [body["messages"][1] for body in stub.asked] == [{"role": "assistant", "content": "It is"}] * 2
    assert [body.get("continue_final_message") for body in stub.asked] == [None, True]


def test_a_text_is_given_to_be_gone_on_with() -> None:
    with serving(lambda *_: "x") as stub:
        Endpoint(stub.named()).say([Turn("Once upon", raw=True)], max_new_tokens=1)
    assert stub.questions == [f"{GO_ON}Once upon"]


def test_whoever_wants_weights_is_told_why_there_are_none() -> None:
    loaded = load("http://127.0.0.1:9/v1?model=m")
    wants: list[Callable[[], Any]] = [
        lambda: loaded.view().forward(None), lambda: loaded.model.parameters(), lambda: loaded.view().model,
    ]  # fmt: skip
    for want in wants:
        with pytest.raises(InputError, match="seen in text alone"):
            want()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://", "no address of a server"),
        ("http://[::1/v1", "no address of a server"),
        ("http://host:port/v1", "no address of a server"),
        ("http://me:" + "secret@host/v1", "put the key in an environment variable"),
        ("http://host/v1?modle=m", "did you mean 'model'"),
        ("http://host/v1?timeout=long", "timeout='long'"),
        ("http://host/v1?prefill=perhaps", "prefill='perhaps'"),
        ("http://host/v1?timeout=0", "above 0 seconds"),
        ("http://host/v1?retries=-1", "at least 0"),
        ("http://host/v1?parallel=0", "parallel must be at least 1"),
        ("http://host/v1?key_env=sk-1234", "not the name of an environment variable"),
        ("http://host/v1#m", "write .model=m instead"),
    ],
)
def test_an_address_that_cannot_be_is_refused_without_asking(address: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        Endpoint(address)
    assert "secret" not in str(caught.value) and "sk-1234" not in str(caught.value)


def test_addresses_are_told_from_folders() -> None:
    assert is_address("HTTPS://host/v1") and not is_address("owner/name") and not is_address(None)
    label = Endpoint("http://h:1/v1/?model=org/name").label
    assert (label, Endpoint("http://h:1/v1").label) == ("name", "h:1")
