"""A client of any server that speaks the chat part of OpenAI's HTTP interface; the standard library alone.

Tried again with growing pauses: no answer in time, no connection, 408, 409, 425, 429, 5xx, and answers that cannot be
read. Anything else is final at once. Redirects are not followed, because a key must not travel to another host.
"""

import http.client
import json
import os
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit

from expunge.core.errors import InputError

AGAIN = frozenset({408, 409, 425, 429, *range(500, 600)})
LONGEST_PAUSE = 60.0
"""Seconds; a server that asks for more patience than this gets this (our choice)."""
MOST_BYTES = 8 * 2**20
"""A longer reply is no reply (our choice)."""
EXCERPT = 120
"""Characters of a reply that an error quotes."""

Message = Mapping[str, str]
T = TypeVar("T")


class EndpointError(InputError):
    """The server cannot be used, or could not in all the tries it was given."""


class _Again(Exception):
    """A failure that may pass; ``pause`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to be an error."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One model on one server.

    ``base_url`` is what stands before ``/chat/completions``, usually ending in ``/v1``. ``model`` is the name that
    the server knows it by; without one the server must list exactly one. ``key_env`` names the environment variable
    that holds the key; the key itself is never written anywhere. ``timeout`` (seconds, 60) bounds one request;
    ``retries`` (4) come after it, the first after ``wait`` seconds (1), each later one after twice as long, or after
    what the server says in Retry-After, at most a minute. All defaults are our choice.
    """

    base_url: str
    model: str | None = None
    key_env: str | None = None
    timeout: float = 60.0
    retries: int = 4
    wait: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what can never work."""
        parts = _split(self.base_url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{self.base_url!r} is no address of a server; give one such as http://localhost:8000/v1.")
        if "@" in parts.netloc:
            raise InputError("the address holds a name or password; put the key in an environment variable instead.")
        if self.key_env is not None and not self.key_env.isidentifier():
            raise InputError("key_env is not the name of an environment variable; put the key in one and name that.")
        if self.timeout <= 0 or self.retries < 0 or self.wait < 0:
            raise InputError("timeout must be above 0 seconds, retries and wait at least 0; correct them.")

    def chat(self, messages: Sequence[Message], max_tokens: int, temperature: float = 0.0, **more: Any) -> str:
        """The text of the reply; empty where the model says nothing. Raises :class:`EndpointError`."""
        body = {"model": self.named(), "messages": list(messages), "max_tokens": max_tokens, "stream": False}
        return self._patient("/chat/completions", {**body, "temperature": temperature, **more}, text_of)

    def named(self) -> str:
        """The model's name, the server's only one where none was given."""
        if self.model is not None:
            return self.model
        found = self._patient("/models", None, _names)
        if len(found) != 1:
            listed = ", ".join(found[:8]) or "none"
            raise EndpointError(f"{self.base_url} serves {len(found)} models ({listed}); say which one is meant.")
        return found[0]

    def _patient(self, path: str, body: Mapping[str, Any] | None, read: Callable[[Any], T]) -> T:
        """One request with its retries."""
        for attempt in range(self.retries + 1):
            try:
                return read(self._once(path, body))
            except _Again as error:
                if attempt == self.retries:
                    tries = "once" if attempt == 0 else f"{attempt + 1} times"
                    raise EndpointError(f"{self.base_url} {error} (tried {tries}); see to the server.") from error
                time.sleep(min(self.wait * 2**attempt if error.pause is None else error.pause, LONGEST_PAUSE))
        raise AssertionError("the last attempt returns or raises")

    def _once(self, path: str, body: Mapping[str, Any] | None) -> Any:
        """The JSON that one request brings; failures that may pass are :class:`_Again`."""
        try:
            raw = self._fetched(path, body)
        except HTTPError as error:
            with error:
                self._refused(error)
        except TimeoutError:
            raise _Again(f"does not answer within {self.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, TimeoutError):
                raise _Again(f"does not answer within {self.timeout:g} s") from None
            raise _Again(f"cannot be reached ({self._excerpt(str(reason) or type(reason).__name__)})") from None
        try:
            return json.loads(raw)
        except ValueError:
            raise _Again(f"answers with something that is not JSON ({self._excerpt(_text(raw))!r})") from None

    def _fetched(self, path: str, body: Mapping[str, Any] | None) -> bytes:
        """The bytes of the reply, all within the timeout: a trickle does not count as an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base_url.rstrip("/") + path, data, self._headers())
        ends, parts, size = time.monotonic() + self.timeout, [], 0
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout) as response:
            while part := response.read1(2**16):
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise _Again(f"answers with more than {MOST_BYTES // 2**20} MiB")
                if time.monotonic() > ends:
                    raise TimeoutError
        return b"".join(parts)

    def _headers(self) -> dict[str, str]:
        plain = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "expunge"}
        return plain | ({"Authorization": f"Bearer {self._key()}"} if self.key_env else {})

    def _key(self) -> str:
        key = os.environ.get(self.key_env or "", "").strip()
        if not key:
            raise EndpointError(f"the environment variable {self.key_env} is not set; put the server's key in it.")
        if not (key.isascii() and key.isprintable()):
            raise EndpointError(f"the environment variable {self.key_env} holds no key; it has characters of no key.")
        return key

    def _refused(self, error: HTTPError) -> NoReturn:
        """A status that is no success, as a failure that may pass or not."""
        said = f"answers {error.code} {error.reason}".rstrip()
        if error.code in AGAIN:
            raise _Again(said, _pause(error.headers.get("Retry-After"))) from None
        if 300 <= error.code < 400:
            where = self._excerpt(error.headers.get("Location") or "nowhere")
            raise EndpointError(f"{self.base_url} sends us on to {where}; give that address.") from None
        try:
            told = self._excerpt(_text(error.read(MOST_BYTES)))
        except (OSError, http.client.HTTPException):
            told = ""
        raise EndpointError(f"{self.base_url} {said}{f' ({told})' if told else ''}; check address, model and key.")

    def _excerpt(self, text: str) -> str:
        """The beginning of what a server said, on one line, without the key and without what moves a cursor."""
        key = os.environ.get(self.key_env, "").strip() if self.key_env else ""
        shown = " ".join((text.replace(key, "…") if key else text).split())
        return "".join(char for char in shown if char.isprintable())[:EXCERPT]


def _split(address: str) -> SplitResult | None:
    """The parts of an address; ``None`` where it has none or a port that is no number."""
    try:
        parts = urlsplit(address)
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None


def text_of(reply: Any) -> str:
    """The words of a chat reply, thoughts first where the server tells them; nothing said is an empty text."""
    try:
        message = reply["choices"][0]["message"]
        parts = [message.get(name) for name in ("reasoning_content", "content", "refusal")]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _Again("answers with JSON that is no chat completion") from None
    if not all(part is None or isinstance(part, str) for part in parts) or "content" not in message:
        raise _Again("answers with a message that holds no text")
    return _clean("\n".join(part for part in parts if part))


def _names(reply: Any) -> list[str]:
    try:
        return [str(entry["id"]) for entry in reply["data"]]
    except (KeyError, TypeError):
        raise _Again("lists its models in a way that is not known; name the model") from None


def _clean(text: str) -> str:
    """``text`` without halves of characters, which no file could hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _pause(header: str | None) -> float | None:
    """Retry-After in seconds: a number, or a date."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0) if float(header) < float("inf") else LONGEST_PAUSE
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((then - datetime.now(UTC if then.tzinfo else None)).total_seconds(), 0.0)
