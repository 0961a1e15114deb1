"""One command on several processes: the same steps on each, one model among them, and one voice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from expunge.core.errors import InputError
from expunge.core.files import whole_folder

if TYPE_CHECKING:
    from expunge.distributed.plan import MemoryPlan, Sizes
    from expunge.distributed.ranks import Ranks
    from expunge.distributed.sharding import Layout
    from expunge.methods.grammar import MethodSpec
    from expunge.models.load import LoadedModel

T = TypeVar("T")
GATHERED = ("fp32", "bf16")


@dataclass
class Spread:
    """How the model of this command is spread; without a ``layout``, one process does as it always did."""

    ranks: "Ranks"
    spec: "MethodSpec"
    layout: "Layout | None" = None
    planned: "MemoryPlan | None" = None
    before: int = 0
    say: Callable[[str], None] | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.ranks.leads

    def announce(self, model: str | Path) -> None:
        """Say what memory each process will need, before the model is loaded where its config lies in a folder."""
        from expunge.distributed.plan import held, sizes_in

        if self.layout is not None:
            self.before = held()
            sizes = sizes_in(Path(model))
            if sizes is not None:
                self._plan(sizes)

    def agreed(self, make: Callable[[], T]) -> T:
        """What rank 0 makes, on every rank: the unlearner's rows must be the same ones everywhere."""
        return self.ranks.from_first(make() if self.leads else None) if self.layout else make()  # type: ignore[return-value]

    def shard(self, loaded: "LoadedModel") -> None:
        """Spread the model."""
        if self.layout is None:
            return
        from expunge.distributed.plan import sizes_of
        from expunge.distributed.sharding import shard

        if self.planned is None:
            self._plan(sizes_of(loaded.model))
        shard(loaded.model, self.layout)

    @contextmanager
    def folder(self, target: Path) -> Iterator[Path]:
        """A folder that is whole or absent, the same one for all processes."""
        from expunge.distributed.store import shared_folder

        with shared_folder(target, self.ranks) if self.layout else whole_folder(target) as draft:
            yield draft

    def save(self, loaded: "LoadedModel", folder: Path, model: Any) -> None:
        """Write the model."""
        from expunge.distributed.export import save_any

        save_any(loaded, folder, model)

    def used(self) -> dict[str, Any]:
        """The memory that the busiest process took beside what it was planned to; said, and kept in the card."""
        if self.layout is None or self.planned is None:
            return {}
        from expunge.distributed.plan import GB, held

        most = max(self.ranks.gathered(held() - self.before))
        planned, besides = self.planned.peak, self.planned.besides
        self._say(f"memory used by the busiest process: {most / GB:.2f} GB; planned {planned / GB:.2f}, and {besides}.")
        return {"processes": self.ranks.size, "memory": {"planned_bytes": round(planned), "used_bytes": most}}

    def _plan(self, sizes: "Sizes") -> None:
        from expunge.distributed.plan import copies_of, memory_plan

        assert self.layout is not None
        optimizer = str(self.spec.train.get("optimizer", "adamw"))
        staged = self.spec.method is not None
        copies = 0.0 if staged else copies_of(self.spec.smoothing.build())
        self.planned = memory_plan(sizes, self.layout, optimizer, copies)
        if staged:
            self.planned = replace(self.planned, besides="activations, and the copies of weights that its stages keep")
        self._say(str(self.planned))

    def _say(self, sentence: str) -> None:
        if self.leads and self.say:
            self.say(sentence)


@contextmanager
def spread(
    spec: "MethodSpec",
    nproc: int | None,
    gather: str,
    activation_checkpointing: bool,
    cpu_offload: bool,
    say: Callable[[str], None] | None,
) -> Iterator[Spread]:
    """Inside the block the processes that were started are one group.

    Raises :class:`InputError` where what was asked for and what was started differ. One process that no launcher
    started is not spread, and then the options of spreading are refused.
    """
    from expunge.distributed.ranks import grouped, joined
    from expunge.distributed.sharding import Layout
    from expunge.methods.run import method_of

    if gather not in GATHERED:
        raise InputError(f"--gather is {gather!r}; it must be one of {', '.join(GATHERED)}.")
    with joined(nproc) as ranks:
        if not grouped():
            if gather != "fp32" or activation_checkpointing or cpu_offload:
                raise InputError(
                    "gather, activation checkpointing and CPU offload are for --nproc; add it or leave them."
                )
            yield Spread(ranks, spec)
            return
        if reason := method_of(spec).alone():
            raise InputError(f"method {spec.name!r} works on one process only: {reason}; leave --nproc out.")
        layout = Layout(
            world_size=ranks.size,
            gathered="bf16" if gather == "bf16" else "fp32",
            activation_checkpointing=activation_checkpointing,
            cpu_offload=cpu_offload,
        )
        yield Spread(ranks, spec, layout, say=say)
