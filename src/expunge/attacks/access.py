"""What a training attacker may change, by name: the access part of an attack point's id."""

import re
from typing import Any

from expunge.core.errors import InputError
from expunge.registry import build, suggestion

WHOLE = ("full", "balanced")
KNOWN = (*WHOLE, "lora", "lora128")
"""What is suggested for a mistyped name; ``lora`` takes any rank behind it."""
_ADAPTERS = re.compile(r"lora([1-9]\d*)?")


def trains(access: str) -> bool:
    """Whether ``access`` is one of the relearning attack; any other point's access is the name of its attack."""
    return access in WHOLE or _ADAPTERS.fullmatch(access) is not None


def rates_of(access: str) -> str:
    """The grid's field with the learning rates of an access: ``rates`` or ``lora_rates``."""
    return "rates" if access in WHOLE else "lora_rates"


def scope_of(access: str, rank: int) -> Any:
    """The scope that is trained; ``lora`` has the grid's ``rank``, ``lora128`` its own. α is twice the rank."""
    found = _ADAPTERS.fullmatch(access)
    if found is None:
        return build("scope", "all")
    own = int(found[1] or rank)
    return build("scope", "lora", rank=own, alpha=2 * own)


def check_access(access: str) -> None:
    """Raise :class:`InputError` for a name that is no access."""
    if not trains(access):
        raise InputError(f"attack 'relearn': unknown access {access!r}; {suggestion(access, KNOWN)}")
