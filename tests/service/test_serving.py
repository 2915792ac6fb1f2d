import os
import tomllib

import pytest

from mars_engine.core.errors import ConfigError
from mars_engine.core.shipped import shipped
from mars_engine.service import serving
from mars_engine.workspace.workspace import create_workspace

TOKEN = "a-long-enough-token-for-tests"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serve a workspace without becoming a server: what would have been run."""
    create_workspace(tmp_path / "w")
    calls = []
    monkeypatch.delenv(serving.TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr(serving.os, "execve", lambda *arguments: calls.append(arguments))

    def serve(**options):
        serving.serve_app(tmp_path / "w", 8600, **options)
        return calls[-1][1], calls[-1][2]

    return serve


def test_every_setting_of_the_shipped_file_is_passed(served, capsys):
    command, environment = served()
    assert "--server.address=127.0.0.1" in command
    assert "--server.port=8600" in command
    assert "--runner.postScriptGC=false" in command
    assert "--server.allowedHosts=localhost" in command
    settings = tomllib.loads(shipped(".streamlit/config.toml").read_text())
    assert f"--theme.dark.primaryColor={settings['theme']['dark']['primaryColor']}" in command
    assert environment["MARS_WORKSPACE"].endswith("/w")
    assert capsys.readouterr().out.count("http://127.0.0.1:8600") == 1


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.5", "::"])  # noqa: S104
def test_serving_wider_needs_a_token(served, address, monkeypatch):
    with pytest.raises(ConfigError, match=serving.TOKEN_VARIABLE):
        served(address=address)
    monkeypatch.setenv(serving.TOKEN_VARIABLE, "short")
    with pytest.raises(ConfigError, match="at least 16"):
        served(address=address)
    monkeypatch.setenv(serving.TOKEN_VARIABLE, TOKEN)
    if address in serving.WILDCARDS:
        with pytest.raises(ConfigError, match="--host"):
            served(address=address)
    command, _ = served(address=address, hosts=("mars.example",))
    assert f"--server.address={address}" in command
    assert "--server.allowedHosts=mars.example" in command


def test_streamlit_knows_every_option(served):
    from streamlit import config

    known = set(config.get_config_options())
    command, _ = served()
    options = [part.removeprefix("--").split("=")[0] for part in command if part.startswith("--")]
    assert len(options) > 15
    assert set(options) <= known


def test_the_token_is_never_on_the_command_line(served, monkeypatch):
    monkeypatch.setenv(serving.TOKEN_VARIABLE, TOKEN)
    command, environment = served()
    assert not any(TOKEN in part for part in command)
    assert environment[serving.TOKEN_VARIABLE] == os.environ[serving.TOKEN_VARIABLE]


def test_the_command_refuses_to_serve_wider_without_a_token(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from mars_engine.cli.main import mars

    create_workspace(tmp_path / "w")
    monkeypatch.delenv(serving.TOKEN_VARIABLE, raising=False)
    result = CliRunner().invoke(mars, ["--workspace", str(tmp_path / "w"), "app", "--address", "0.0.0.0"])  # noqa: S104
    assert result.exit_code == 3
    assert "no token is set" in result.output


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_is_empty_or_not_there_is_made_a_workspace_and_no_other(is_there, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from mars_engine.cli.main import mars

    served = []
    monkeypatch.setattr("mars_engine.cli.commands.app.serve_app", lambda root, *_, **__: served.append(root))
    if is_there:
        (tmp_path / "w").mkdir()
    for _ in range(2):
        result = CliRunner().invoke(mars, ["--workspace", str(tmp_path / "w"), "app"])
        assert result.exit_code == 0, result.output
    assert served == [tmp_path / "w"] * 2
    assert (tmp_path / "w" / "mars.toml").is_file()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    refused = CliRunner().invoke(mars, ["--workspace", str(tmp_path / "other"), "app"])
    assert refused.exit_code == 5
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]
