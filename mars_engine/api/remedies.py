"""What to do about an error, in words of Python: the engine's remedies name commands and their options."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isfunction
from typing import TypeVar

from mars_engine.core.errors import MarsError

T = TypeVar("T")
METHODS = {
    "import": "import_pairs",
    "init": "mars.create",
    "train": "train",
    "score": "score",
    "propose": "propose",
    "judge-labels": "judge_labels",
    "advise": "advise",
    "review": "review",
    "compose": "compose",
    "evaluate": "evaluate",
    "status": "status",
    "map": "map",
    "export": "export",
    "align": "align",
    "best-of-n": "best_of_n",
}
"""What a command is called here."""
_AS_ARGUMENTS = {
    "--align-merge": 'settings={"align": {"merge": True}}',
    "--backbone": 'settings={"reward_model": {"backbone": …}}',
    "--download": "…, download=True",
}
_INCOMPLETE = {"import_pairs", "mars.create", "export", "best_of_n"}
"""Calls that need more than a remedy says."""

_COMMAND = re.compile(r"'mars (?:--workspace \S+ )?([a-z-]+)((?: [^']*)?)'")
_OPTION = re.compile(r"--(columns|roles|scores) (\w+=[^,;]+(?:,\w+=[^,;]+)*)")
_RETRY = re.compile("--retry-(failed|refused)")
_SPLIT = re.compile(r"--split (\w+)")
_MAP = re.compile(r"--of (\w+)")
_OTHER_FOLDER = re.compile(r" by --workspace or \w+")
_FORMAT = re.compile(r"--format\b")


@contextmanager
def said_in_python() -> Iterator[None]:
    """Let a MarsError that is raised inside say what to do in words of Python; all else of it stays."""
    try:
        yield
    except MarsError as error:
        remedy = in_python(error.remedy)
        if remedy == error.remedy:
            raise
        said = type(error)(error.found, expected=error.expected, remedy=remedy)
        raise said.with_traceback(error.__traceback__) from error.__cause__


def speaking_python(cls: type[T]) -> type[T]:
    """Let all public methods of a class say in words of Python what to do about their errors."""
    for name, method in list(vars(cls).items()):
        if isfunction(method) and not name.startswith("_"):
            setattr(cls, name, said_in_python()(method))
    return cls


def in_python(remedy: str) -> str:
    """Return a remedy with calls in the place of commands; a command that has no method stays as it is."""
    said = _RETRY.sub(_retry, _COMMAND.sub(_call, _OTHER_FOLDER.sub("", remedy)))
    return _FORMAT.sub("format=…", _OPTION.sub(_mapping, said))


def _call(command: re.Match[str]) -> str:
    name, options = METHODS.get(command[1]), command[2]
    if name is None:
        return command[0]
    if retried := _RETRY.search(options):
        return _retry(retried)
    if drawn := _MAP.search(options):
        return f'workspace.map("{drawn[1]}"{", again=True" if "--again" in options else ""})'
    called = name if name.startswith("mars.") else f"workspace.{name}"
    return f"{called}({_arguments(name, options)})"


def _arguments(name: str, options: str) -> str:
    if split := _SPLIT.search(options):
        return f'…, split="{split[1]}"'
    given = [said for option, said in _AS_ARGUMENTS.items() if option in options]
    return ", ".join(given) or ("…" if name in _INCOMPLETE else "")


def _retry(option: re.Match[str]) -> str:
    return "workspace.retry()" if option[1] == "failed" else 'workspace.retry("all")'


def _mapping(option: re.Match[str]) -> str:
    entries = [entry.partition("=") for entry in option[2].split(",")]
    named = ", ".join(f'"{key}": "{value}"' for key, _, value in entries)
    given = f"{option[1]}={{{named}}}"
    return given if option[1] == "columns" else f"options=mars.ReadingOptions({given})"
