"""YAML by the safe loader, with numbers such as ``1e-5`` read as numbers (YAML 1.1 takes them for text)."""

import re
from pathlib import Path
from typing import Any

import yaml

from expunge.core.errors import InputError

FLOAT = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")


class Loader(yaml.SafeLoader):
    """Safe loader that knows scientific notation without a dot."""


Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:float"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))


def parse(text: str, where: str) -> Any:
    """The value of YAML ``text``; :class:`InputError` names ``where`` and the line when it is malformed."""
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = "" if line is None else f" (line {line + 1})"
        raise InputError(f"{where} is not valid YAML{place}; correct it.") from error


def read(path: Path) -> Any:
    """The YAML in a file; :class:`InputError` names the file when it is absent, a folder or not UTF-8."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a readable YAML file; give the path of a recipe.") from error


def dump(value: Any) -> str:
    """Block-style YAML, keys in the given order, that :func:`parse` reads back to an equal value."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False)
