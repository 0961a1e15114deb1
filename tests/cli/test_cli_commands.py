"""The commands are the verbs: same names, same arguments; and each has a line of help."""

import inspect

import pytest
from typer.testing import CliRunner

from expunge import api
from expunge.cli.app import build

COMMANDS = {command.name: command for command in build().registered_commands}
# What a person at a terminal cannot or need not say.
PYTHON_ONLY = {"notify", "plugins", "progress", "train"}


def test_the_commands() -> None:
    assert sorted(COMMANDS) == ["ask", "attack", "evaluate", "ls", "plan", "report", "run", "show", "unlearn"]


@pytest.mark.parametrize("verb", api.__all__)
def test_arguments_have_the_names_of_the_function(verb: str) -> None:
    callback = COMMANDS[verb].callback
    assert callback is not None
    own, function = (list(inspect.signature(item).parameters) for item in (callback, getattr(api, verb)))
    assert set(own) - {"ctx"} == set(function) - PYTHON_ONLY


@pytest.mark.parametrize("verb", ["unlearn", "attack", "evaluate", "ask"])
def test_defaults_are_those_of_the_function(verb: str) -> None:
    callback = COMMANDS[verb].callback
    assert callback is not None
    function = inspect.signature(getattr(api, verb)).parameters
    for name, parameter in inspect.signature(callback).parameters.items():
        if inspect.Parameter.empty not in (parameter.default, function[name].default):
            assert str(parameter.default) == str(function[name].default), name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help(name: str) -> None:
    result = CliRunner().invoke(build(), [name, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout
