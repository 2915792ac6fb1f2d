"""The public names: which there are, what their docstrings say, and that importing the package loads nothing heavy."""

import inspect
import subprocess
import sys
from dataclasses import MISSING, fields
from types import FunctionType

import pytest

import mars_engine as mars
from mars_engine.workspace.aligning import AlignRequest
from mars_engine.workspace.best_of_n import BestOfNRequest

NAMES = {
    *("Decision", "MarsError", "ReadingOptions", "Workspace", "__version__"),
    *("allocate", "alpaca_eval", "alpaca_figures", "compose", "create", "fit_probe", "gate", "open", "triage"),
}
METHODS = {
    *("check", "close", "close_round", "compose", "evaluate", "export", "export_dataset", "figure", "history"),
    *("advise", "advised", "align_plan"),
    *("judge_forecast", "judge_labels", "undo_judge"),
    *("import_pairs", "map", "margins", "open_round", "pairs", "plan", "preview", "proposals", "propose", "report"),
    *("align", "best_of_n", "retry", "review", "rounds", "score", "status", "take_answers", "train", "write_requests"),
}
RAISE_NOTHING = {"close"}
HEAVY = {"torch", "pandas", "streamlit", "transformers", "numpy", "sqlalchemy"}


def test_the_public_names_are_these():
    assert set(mars.__all__) == NAMES == set(dir(mars))
    owners = mars.Workspace.__mro__[:-1]
    methods = {name for each in owners for name, value in vars(each).items() if isinstance(value, FunctionType)}
    assert {name for name in methods if not name.startswith("_")} == METHODS
    assert all(getattr(mars, name) is not None for name in NAMES)


def test_each_has_a_docstring_that_names_its_errors():
    functions = {name: getattr(mars, name) for name in NAMES if isinstance(getattr(mars, name), FunctionType)}
    assert len(functions) == 9
    functions |= {name: getattr(mars.Workspace, name) for name in METHODS - RAISE_NOTHING}
    missing = [name for name, each in functions.items() if "Raises:" not in (inspect.getdoc(each) or "")]
    assert not missing
    unsaid = [name for name, each in functions.items() if not (inspect.getdoc(each) or "").split("\n")[0].strip()]
    assert not unsaid


def test_every_argument_is_spelled_out():
    functions = [getattr(mars, name) for name in NAMES if isinstance(getattr(mars, name), FunctionType)]
    functions += [getattr(mars.Workspace, name) for name in METHODS]
    kinds = {parameter.kind for each in functions for parameter in inspect.signature(each).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds


@pytest.mark.parametrize(
    ("method", "request_class"), [(mars.Workspace.best_of_n, BestOfNRequest), (mars.Workspace.align, AlignRequest)]
)
def test_what_is_not_said_is_asked_for_as_a_request_has_it(method, request_class):
    given = {name: each.default for name, each in inspect.signature(method).parameters.items()}
    for field in fields(request_class):
        default = field.default if field.default is not MISSING else field.default_factory()
        assert given[field.name] == default


def test_importing_the_package_loads_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-c", "import mars_engine"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in said.splitlines() if "|" in line}
    assert "mars_engine" in loaded
    assert not loaded & HEAVY
