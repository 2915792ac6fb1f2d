"""What an error advises: calls in the place of commands, whatever else stands around them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import mars_engine as mars
from mars_engine.api.remedies import METHODS, in_python
from mars_engine.cli.main import mars as commands

COMMAND = re.compile(r"\bmars (?:--workspace \S+ )?([a-z][a-z-]*)")
WITHOUT_METHOD = {"experiment", "failures", "job", "prompts"}


@pytest.mark.parametrize(
    ("remedy", "said"),
    [
        ("run 'mars train' first", "run workspace.train() first"),
        ("run 'mars import FILE' first", "run workspace.import_pairs(…) first"),
        ("run 'mars import FILE --split heldout'", 'run workspace.import_pairs(…, split="heldout")'),
        (
            "run 'mars propose --retry-failed', or --retry-refused where answers could not be used",
            'run workspace.retry(), or workspace.retry("all") where answers could not be used',
        ),
        (
            "run 'mars --workspace a/b init', or name another folder by --workspace or MARS_WORKSPACE",
            "run mars.create(…), or name another folder",
        ),
        ("run 'mars map --of chosen --again' to", 'run workspace.map("chosen", again=True) to'),
        ("name them: --columns prompt=q,chosen=a", 'name them: columns={"prompt": "q", "chosen": "a"}'),
        (
            "such as --roles bot=assistant, where",
            'such as options=mars.ReadingOptions(roles={"bot": "assistant"}), where',
        ),
        ("name another format with --format", "name another format with format=…"),
        ("merge it by 'mars align --align-merge'", 'merge it by workspace.align(settings={"align": {"merge": True}})'),
        ("run 'mars align' in one process", "run workspace.align() in one process"),
        ("give the id, which 'mars export' writes", "give the id, which workspace.export(…) writes"),
        ("'mars best-of-n --download' fetches it", "workspace.best_of_n(…, download=True) fetches it"),
        ("by 'mars train --backbone'", 'by workspace.train(settings={"reward_model": {"backbone": …}})'),
        ("'mars job list' shows the runs", "'mars job list' shows the runs"),
        ("check the path", "check the path"),
        ("", ""),
    ],
)
def test_remedies_name_calls(remedy, said):
    assert in_python(remedy) == said


@pytest.mark.slow
def test_each_command_of_a_remedy_in_the_source_has_its_call_where_there_is_a_method():
    named = {name for remedy in remedies_in_the_source() for name in COMMAND.findall(remedy)}
    left = {name for remedy in remedies_in_the_source() for name in COMMAND.findall(in_python(remedy))}
    assert named >= {"import", "init", "train", "score", "align", "export", "map"}
    assert named <= set(commands.commands)
    assert left == WITHOUT_METHOD
    assert not any(hasattr(mars.Workspace, name.replace("-", "_")) for name in left)


@cache
def remedies_in_the_source() -> frozenset[str]:
    """The remedies of the engine's errors, with … for what is filled in; each part of those that are put together."""
    files = Path(mars.__file__).parent.rglob("*.py")
    return frozenset(remedy for file in files for remedy in remedies_of(ast.parse(file.read_text(encoding="utf-8"))))


def remedies_of(module: ast.Module) -> Iterator[str]:
    """The strings that a module gives as remedies, by themselves or by names and functions of its own."""
    own: dict[str, list[ast.expr]] = {}
    given: list[ast.expr] = []
    for node in ast.walk(module):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                own.setdefault(ast.unparse(target), []).append(node.value)
        elif isinstance(node, ast.FunctionDef):
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
            own.setdefault(node.name, []).extend(returned)
        elif isinstance(node, ast.keyword) and node.arg == "remedy":
            given.append(node.value)
    for value in given:
        names = [each.id for each in ast.walk(value) if isinstance(each, ast.Name)]
        for part in (value, *(found for name in names for found in own.get(name, []))):
            yield from strings_in(part)


def strings_in(value: ast.AST) -> Iterator[str]:
    if isinstance(value, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in value.values)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    else:
        for part in ast.iter_child_nodes(value):
            yield from strings_in(part)


def test_each_command_and_each_method_that_has_a_call_is_there():
    assert set(METHODS) <= set(commands.commands)
    assert all(hasattr(mars.Workspace, name) or hasattr(mars, name.removeprefix("mars.")) for name in METHODS.values())


def test_errors_of_a_workspace_say_what_to_call(tmp_path):
    with pytest.raises(mars.MarsError, match=r"run mars\.create\(…\)") as raised:
        mars.open(tmp_path / "w")
    assert "--" not in raised.value.remedy
    with mars.create(tmp_path / "w", progress=False) as workspace:
        with pytest.raises(mars.MarsError, match=r"run workspace\.import_pairs\(…\) first") as raised:
            workspace.train()
        assert "'mars" not in str(raised.value)
        with pytest.raises(mars.MarsError, match=r"run workspace\.train\(\) first"):
            workspace.plan()
        with pytest.raises(mars.MarsError, match=r"run workspace\.propose\(\) first"):
            workspace.review(policy="gates")
        with pytest.raises(mars.MarsError, match=r'columns=\{"prompt": "') as raised:
            workspace.import_pairs(pd.DataFrame({"frage": ["q"], "gut": ["a"], "schlecht": ["b"]}))
    assert "--" not in raised.value.remedy


def test_an_error_shows_itself_once_with_where_it_came_from(tmp_path):
    with mars.create(tmp_path / "w", progress=False) as workspace, pytest.raises(mars.MarsError) as raised:
        workspace.train()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "api" not in raised.traceback[-1].path.parts
