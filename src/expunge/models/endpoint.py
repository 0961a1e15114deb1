"""A candidate behind an OpenAI-compatible endpoint: it is asked, and that is all.

An address is one word, so that it stands wherever a model does::

    http://localhost:8000/v1?model=NAME&key_env=OPENAI_API_KEY

After the question mark come, as far as wanted, ``model``, ``key_env``, ``timeout``, ``retries`` and ``wait`` of
:class:`expunge.models.chat_client.Client`, ``parallel`` (requests under way at once) and ``prefill``: ``yes`` where the
server goes on by itself with an answer that the last message begins, ``vllm`` where it must be told in vLLM's words.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from expunge.core.errors import InputError
from expunge.core.files import stable_hash
from expunge.core.seeds import derive
from expunge.models.chat_client import Client, Message
from expunge.models.text_only import TextOnly, Turn
from expunge.registry import suggestion

SCHEMES = ("http://", "https://")
GO_ON = "Go on with this text, word by word, and write nothing else:\n\n"
"""Put before a text to be continued: a chat server has no other way to be given one."""
PARALLEL = 4
"""Requests under way at once (our choice)."""
PREFILLS: Mapping[str, Mapping[str, bool] | None] = {
    "no": None,
    "yes": {},
    "vllm": {"add_generation_prompt": False, "continue_final_message": True},
}
"""What is added to a request whose answer is begun; ``None``: such a request is not sent. Other servers refuse fields
that they do not know."""

OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "model": lambda text: text or None,
    "key_env": str,
    "timeout": float,
    "retries": int,
    "wait": float,
    "parallel": int,
    "prefill": PREFILLS.__getitem__,
}


def is_address(source: object) -> bool:
    """Whether a model is named by the address of a server."""
    return isinstance(source, str) and source.lower().startswith(SCHEMES)


class Endpoint(TextOnly):
    """The model at an address."""

    def __init__(self, address: str) -> None:
        base, options = parted(address)
        self.begun: Mapping[str, bool] | None = options.pop("prefill", None)
        self.parallel: int = options.pop("parallel", PARALLEL)
        self.client = Client(base_url=base, **options)
        if self.parallel < 1:
            raise InputError(f"{address}: parallel must be at least 1; correct it.")
        super().__init__(address, stable_hash([base, self.client.model]))

    @property
    def prefills(self) -> bool:
        """Whether an answer may be begun."""
        return self.begun is not None

    @property
    def label(self) -> str:
        """The model's name in a word, the host's where it has none."""
        return (self.client.model or urlsplit(self.client.base_url).netloc).rsplit("/", 1)[-1]

    def ping(self) -> str:
        """One short question, so that a server that cannot be used is known at once; the model's name."""
        self.client = replace(self.client, model=self.client.named())
        self.client.chat([{"role": "user", "content": "Hello"}], 1)
        return self.client.named()

    def say(self, turns: Sequence[Turn], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0) -> list[str]:
        """One request a turn, several at once; equal ones are sent once when greedy. Raises :class:`EndpointError`."""
        self.client = replace(self.client, model=self.client.named())
        keys = [turn if not temperature else (index, turn) for index, turn in enumerate(turns)]
        wanted = dict(zip(keys, enumerate(turns), strict=True))

        def ask(place: tuple[int, Turn]) -> str:
            number, turn = place
            drawn = {"seed": derive(seed, "endpoint", number) % 2**31} if temperature else {}
            more = (self.begun or {}) if turn.begun else {}
            return self.client.chat(self._messages(turn), max_new_tokens, temperature, **drawn, **more)

        pool = ThreadPoolExecutor(self.parallel)
        try:
            said = dict(zip(wanted, pool.map(ask, wanted.values()), strict=True))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [said[key] for key in keys]

    def _messages(self, turn: Turn) -> list[Message]:
        asked: list[Message] = [{"role": "user", "content": f"{GO_ON}{turn.prompt}" if turn.raw else turn.prompt}]
        if not turn.begun:
            return asked
        if not self.prefills:
            raise InputError(f"{self.source} was not said to go on with a begun answer; add prefill=yes if it does.")
        return [*asked, {"role": "assistant", "content": turn.begun}]


def parted(address: str) -> tuple[str, dict[str, Any]]:
    """The address before the question mark and what stands after it; :class:`InputError` for an unknown option."""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise InputError(f"{address!r} is no address of a server; give one such as http://localhost:8000/v1.") from None
    options: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            raise InputError(f"the address has no option {name!r}; {suggestion(name, OPTIONS)}")
        try:
            options[name] = OPTIONS[name](text)
        except (ValueError, KeyError):
            raise InputError(f"the address says {name}={text!r}, which is no value for it; correct it.") from None
    if parts.fragment:
        raise InputError(f"the address ends in #{parts.fragment}; write ?model={parts.fragment} instead.")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), options
