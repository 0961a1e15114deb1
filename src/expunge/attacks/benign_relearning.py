"""Benign relearning: training data that cannot answer what is asked, and yet the answers come back."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from expunge.attacks.relearn import Relearn
from expunge.registry import attack


@attack("benign_relearning")
@dataclass(frozen=True, kw_only=True)
class BenignRelearning(Relearn):
    """Fine-tuning on data D' that never says the answers: a part of what was unlearned, or public texts on the topic.

    Hu et al. (ICLR 2025, arXiv 2406.13356). Kept: D' is checked against every V answer before it is used, T's own rows
    as well, and rows that tell one are dropped and counted in the record; success is that the answer stands in what
    the model writes (ASR); steps are swept, since there more than about 40 of them lower it again (``steps`` bracket
    that, our choice); batches of 16 rows and the rate 1e-5, as in the synthetic experiment's public code. Different:
    two higher rates stand beside it, weights are fp32 masters, and a never-trained control is attacked in the same
    way. Their cut by title is ``split_by: keyword`` in a recipe's knowledge entry, their public articles are the stream
    ``background``, where a benchmark has it; V is asked for the keyword alone wherever it has one.
    """

    paper: ClassVar[str] = "Hu et al. 2024, arXiv 2406.13356"
    family: ClassVar[str] = "relearning"
    protocol: ClassVar[str] = "benign_relearning"
    strict: ClassVar[bool] = True

    rates: tuple[float, ...] = (1e-5, 3e-5, 1e-4)
    steps: tuple[int, ...] = (5, 10, 20, 30, 40, 60)
    sources: tuple[str, ...] = ("rows",)
    batch_size: int = 16
    hits: Literal["greedy", "said"] = "said"
