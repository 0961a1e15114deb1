"""Independent seeds from one seed, so that redrawing one part never shifts another."""

import hashlib


def derive(seed: int, *labels: str | int) -> int:
    """A 63-bit seed that depends on ``seed`` and every label, and on nothing else (no process state)."""
    text = "/".join([str(seed), *map(str, labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
