"""``expunge ask``: put a question to one model, or to two side by side."""

from typing import Annotated

import typer

from expunge.cli.options import Asked, Template


def ask(
    model: Asked,
    question: Annotated[
        str | None, typer.Argument(help="The question; without one, questions are read from the terminal.")
    ] = None,
    beside: Annotated[str | None, typer.Option(help="A second model to ask the same.")] = None,
    template: Template = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 48,
) -> None:
    """Ask a model; with --beside, the same question goes to both and the answers stand side by side."""
    from expunge.api.asking import Interview
    from expunge.cli.tables import answers

    questions = [question] if question is not None else typer.get_text_stream("stdin")
    interview = Interview(model, beside, template=template, max_new_tokens=max_new_tokens)
    for asked in questions:
        if asked.strip():
            answers(asked.strip(), interview.ask(asked.strip()))
