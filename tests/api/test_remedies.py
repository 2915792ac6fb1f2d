"""What an error advises: calls in the place of commands, whatever else stands around them."""

import pandas as pd
import pytest

import mars_engine as mars
from mars_engine.api.remedies import METHODS, in_python
from mars_engine.cli.main import mars as commands


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
        ("'mars job list' shows the runs", "'mars job list' shows the runs"),
        ("check the path", "check the path"),
        ("", ""),
    ],
)
def test_remedies_name_calls(remedy, said):
    assert in_python(remedy) == said


def test_each_command_and_each_method_that_a_remedy_names_is_there():
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
