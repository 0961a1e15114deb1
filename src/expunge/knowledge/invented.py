"""Names of subjects that do not exist, put together from the words of those that do."""

import random
from collections.abc import Sequence

from expunge.core.errors import InputError

ATTEMPTS = 100
"""Names that are put together before giving up."""


def invented_name(subject: str, subjects: Sequence[str], source: random.Random) -> str:
    """A name of as many words as ``subject``, each from a drawn one of ``subjects``, that is none of them.

    "Ann Berg" and "Tom Falk" make "Ann Falk". :class:`InputError` where the subjects' words make no new name.
    """
    words = len(subject.split())
    like = [parts for parts in (other.split() for other in subjects) if len(parts) == words]
    for _ in range(ATTEMPTS):
        name = " ".join(source.choice(like)[place] for place in range(words))
        if name not in subjects:
            return name
    raise InputError(
        f"no new name could be put together in the place of {subject!r}; it takes subjects of two words or more."
    )
