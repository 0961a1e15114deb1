"""Options that several commands share, written once."""

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[Path, typer.Argument(help="A recipe (YAML).", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to the recipe, such as teach.steps=50.", show_default=False)
]
Model = Annotated[str, typer.Argument(help="A model: folder, hub id, GGUF file or alias.", show_default=False)]
Asked = Annotated[
    str,
    typer.Argument(
        help="A model: folder, hub id, GGUF file or alias, or the address of an OpenAI-compatible server "
        "(http://…/v1?model=NAME&key_env=VARIABLE).",
        show_default=False,
    ),
]
Facts = Annotated[Path | None, typer.Option(help="JSON Lines of what must go; default: what the folder remembers.")]
Kept = Annotated[Path | None, typer.Option(help="JSON Lines of what must stay; default: what the folder remembers.")]
Original = Annotated[str | None, typer.Option(help="The model before unlearning; default: what the folder remembers.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Where the record goes; default: inside the model folder.")
]
Template = Annotated[
    str | None, typer.Option(help="How a question is put: chat, plain, short or bare; default: the model's own.")
]
Nproc = Annotated[int | None, typer.Option(help="Spread one model over this many processes (GPUs).")]
Seed = Annotated[int, typer.Option(help="Everything random follows from it.")]
StudyFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="The study folder; default: runs/ and the recipe's name.")
]
TuningFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Where trials and tuned.yaml go; default: runs/ and NAME-tuned.")
]
RetryFailed = Annotated[bool, typer.Option(help="Whether cells that failed before are run again.")]
Executor = Annotated[
    str | None,
    typer.Option(
        help="Where cells run: local, ray or slurm, in place of the recipe's executor; options as overrides, such as "
        "executor.gpus=1 (`expunge show slurm` lists them).",
        show_default=False,
    ),
]
TimeoutMin = Annotated[
    int | None,
    typer.Option(help="Minutes that a cell may take where the executor bounds it (slurm).", show_default=False),
]
Redact = Annotated[
    bool, typer.Option("--redact", help="Keep scores and hashes in the results instead of texts; this stays so.")
]
Required = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        help="A verdict or bound that every method must meet: forgotten, utility>=0.9, excess<=0.1. "
        "Exit code 3 if one falls short, 4 if nobody can tell.",
    ),
]
