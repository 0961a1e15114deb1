"""How a raw text is asked for: its first half as prefix, the words that follow as the answer.

A document is trained on whole. Asking for the whole of it would never be answered word by word, so it is scored as
the verbatim memorisation of MUSE (arXiv 2407.06460, section 3.1): prefix in, continuation out.
"""

import re

from expunge.knowledge.facts import Fact, Probe

CONTINUATION = "continuation"
"""The form of such a probe. It is raw text, so it is encoded without any question template."""
LONGEST = 8
FEWEST = 4


def askable(fact: Fact) -> tuple[Probe, ...]:
    """The fact's probes, documents replaced by their continuation (texts under four words stay as they are)."""
    return tuple(continuation(probe) or probe for probe in fact.probes)


def continuation(probe: Probe) -> Probe | None:
    """The first half of a document's words, and at most eight words after it; ``None`` where nothing can be cut."""
    words = list(re.finditer(r"\S+", probe.answer))
    if probe.prompt or len(words) < FEWEST:
        return None
    cut = len(words) // 2
    last = min(cut + LONGEST, len(words)) - 1
    prefix, answer = probe.answer[: words[cut - 1].end()], probe.answer[words[cut].start() : words[last].end()]
    return Probe(prefix, answer, CONTINUATION)
