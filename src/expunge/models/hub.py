"""Model folders by hub name. The network is touched only here, and its absence is said within seconds."""

import os
import re
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from expunge.core.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
PATIENCE = 4.0  # seconds

REASONS: tuple[tuple[type[Exception], str], ...] = (
    (GatedRepoError, "needs a licence that this account has not accepted; accept it on the hub and log in"),
    (RepositoryNotFoundError, "does not exist on the hub, or is private; check the name or log in"),
    (RevisionNotFoundError, "has no such revision; check the revision"),
    (HFValidationError, "is not a hub name; write it as owner/name"),
)


def is_hub_name(source: str) -> bool:
    """Whether ``source`` reads like ``owner/name`` on the hub rather than like a path."""
    return NAME.fullmatch(source) is not None


def hub_folder(name: str, revision: str | None = None) -> Path:
    """The local snapshot of a hub model, downloaded if need be; without a network the cached one.

    Raises :class:`InputError` in one sentence when there is neither.
    """
    online = not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)
    try:
        found = snapshot_download(name, revision=revision, allow_patterns=list(FILES), local_files_only=not online)
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"model {name!r} is no folder here, is not in the local cache, and the hub cannot be reached; "
            "check the path or the network."
        ) from error
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        reason = next((text for kind, text in REASONS if isinstance(error, kind)), f"cannot be fetched ({error})")
        raise InputError(f"model {name!r} {reason}.") from error
    return Path(found)


def reachable(endpoint: str) -> bool:
    """Whether the endpoint takes a connection within a few seconds; behind a proxy that is left to the download.

    The attempt runs in a thread because a name look-up knows no time limit.
    """
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    parts = urlsplit(endpoint)
    answer: list[bool] = []

    def knock() -> None:
        try:
            socket.create_connection((parts.hostname, parts.port or 443), timeout=PATIENCE).close()
            answer.append(True)
        except OSError:
            answer.append(False)

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(PATIENCE + 1)
    return answer == [True]
