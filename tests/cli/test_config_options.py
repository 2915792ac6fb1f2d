"""Settings as options of a command, and back."""

import click
import pytest
from click.testing import CliRunner

from mars_engine.cli.config_options import section_options
from mars_engine.core.config import AllocationConfig, ComposeConfig, MarsConfig
from mars_engine.core.config.overrides import override_config
from mars_engine.core.errors import ConfigError, WorkspaceError
from mars_engine.jobs.command_options import as_options
from mars_engine.workspace.workspace import create_workspace, find_workspace, save_config

OVERRIDES = {
    "allocation": {"law": "fisher", "tau": 2.5, "budget": 40},
    "compose": {"cumulative": False, "vary_prompt": True},
    "triage": {"policy": "leave_out"},
}


def test_options_made_of_overrides_are_read_as_the_same_overrides():
    received = {}

    @click.command()
    @section_options("allocation", "compose", "triage")
    def command(overrides):
        received.update(overrides)

    result = CliRunner().invoke(command, as_options(OVERRIDES))
    assert result.exit_code == 0, result.output
    assert received == OVERRIDES


def test_nothing_overridden_needs_no_option():
    assert as_options({}) == []


def test_help_says_none_where_the_default_is_empty():
    @click.command()
    @section_options("chat")
    def command(overrides):
        return overrides

    shown = " ".join(CliRunner().invoke(command, ["--help"], terminal_width=10_000).output.split())
    assert "[default: mars.toml, else none]" in shown
    assert "else ]" not in shown


def test_an_override_out_of_range_names_where_it_was_given():
    with pytest.raises(ConfigError, match=r"this form has 1 setting.*allocation\.tau = -1"):
        override_config(MarsConfig(), {"allocation": {"tau": -1}}, origin="this form")


# ------------------------------------------------------------------------------------------------------ saved settings


def test_saved_settings_are_read_again_and_peoples_comments_stay(tmp_path):
    workspace = create_workspace(tmp_path / "w")
    path = tmp_path / "w" / "mars.toml"
    path.write_text("# my notes\n[allocation]\n# sharper, after the talk with Ann\ntau = 2.0  # was 0.5\n")
    changed = MarsConfig(allocation=AllocationConfig(tau=3.0, cap=7), compose=ComposeConfig(cumulative=False))
    saved = save_config(workspace, changed)
    assert saved.config == find_workspace(tmp_path / "w").config == changed
    text = path.read_text()
    assert "# my notes" in text
    assert "# sharper, after the talk with Ann\ntau = 3.0  # was 0.5" in text
    assert f"# {AllocationConfig.model_fields['cap'].description}\ncap = 7" in text
    assert "[gate]" not in text, "what is as it was needs no line"
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize(
    "text", ["", "[allocation\n", "seed = 'x'\n", "allocation = {tau = 2.0}\n", "allocation.tau = 2.0\n"]
)
def test_settings_replace_a_file_however_it_was_written(tmp_path, text):
    workspace = create_workspace(tmp_path / "w")
    (tmp_path / "w" / "mars.toml").write_text(text)
    changed = MarsConfig(seed=4, allocation=AllocationConfig(cap=7), compose=ComposeConfig(cumulative=False))
    save_config(workspace, changed)
    assert find_workspace(tmp_path / "w").config == changed


def test_settings_that_cannot_be_written_leave_the_old_ones(tmp_path, monkeypatch):
    workspace = create_workspace(tmp_path / "w")
    before = (tmp_path / "w" / "mars.toml").read_bytes()

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        save_config(workspace, MarsConfig(seed=4))
    assert (tmp_path / "w" / "mars.toml").read_bytes() == before
