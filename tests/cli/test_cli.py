"""The command line: help, exit codes, JSON, plain errors. Steps that need the encoder are in test_demo.py."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mars_engine.cli.main import BAD_INPUT, NOT_READY, UNUSABLE, mars
from mars_engine.core.config import MarsConfig
from mars_engine.core.shipped import shipped
from mars_engine.workspace.workspace import find_workspace, open_workspace_store

COMMANDS = sorted(mars.commands)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mars, list(arguments), prog_name="mars")


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    assert run("--workspace", str(tmp_path / "w"), "init").exit_code == 0
    return str(tmp_path / "w")


def test_the_commands_are_those_that_are_promised():
    promised = {"init", "import", "train", "score", "propose", "review", "compose", "evaluate", "export"}
    assert promised <= set(COMMANDS)
    assert {"open-round", "close-round", "status", "demo", "app"} <= set(COMMANDS)


@pytest.mark.slow
def test_the_commands_load_no_model_library_before_they_work():
    code = "import sys, mars_engine.cli.main; print(sorted({'torch', 'transformers', 'umap'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


def test_the_readme_shows_every_command():
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    for command in COMMANDS:
        assert f"mars {command}" in readme or f"mars --workspace mine {command}" in readme, command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_explains_itself(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert mars.commands[command].help
    for option in mars.commands[command].params:
        if isinstance(option, click.Option):
            assert option.help, f"{command} {option.name} has no help"


def test_options_say_the_range_of_their_numbers():
    helps = {option.name: option.help for option in mars.commands["init"].params}
    assert "[≥ 1, ≤ 1000; default: mars.toml, else 5]" in helps["reward_model_epochs"]
    assert "≥" not in helps["chat_model"]


def test_settings_of_the_configuration_are_options_with_its_own_help():
    options = {option.name: option for option in mars.commands["init"].params}
    for section in ("allocation", "triage", "gate", "propose", "chat", "quality", "probe"):
        for name, field in type(getattr(MarsConfig(), section)).model_fields.items():
            assert field.description in options[f"{section}_{name}"].help


def test_init_writes_the_settings_given_and_refuses_to_do_it_twice(tmp_path):
    folder = str(tmp_path / "w")
    assert run("--workspace", folder, "init", "--allocation-tau", "2", "--no-compose-cumulative").exit_code == 0
    text = (tmp_path / "w" / "mars.toml").read_text()
    assert "tau = 2.0" in text
    assert "cumulative = false" in text
    again = run("--workspace", folder, "init")
    assert again.exit_code == UNUSABLE
    assert "is a workspace already" in again.output


def test_import_reports_and_status_goes_on(workspace):
    result = run("--workspace", workspace, "import", str(shipped("data") / "demo-train.jsonl"))
    assert result.exit_code == 0
    assert "360 rows read as trl, 360 new train pairs kept" in result.output
    status = json.loads(run("--workspace", workspace, "status", "--json").stdout)
    assert status["counts"][0] == {
        "name": "pairs",
        "count": 360,
        "whole": None,
        "unit": "training pairs",
        "note": "",
    }
    assert status["next_step"].startswith("mars train")


def test_holdout_splits_one_file_by_prompt_and_always_in_the_same_way(workspace):
    command = ["--workspace", workspace, "import", str(shipped("data") / "demo-train.jsonl"), "--holdout", "0.25"]
    first = json.loads(run(*command, "--json").stdout)
    assert [report["split"] for report in first] == ["train", "heldout"]
    assert first[0]["kept"] + first[1]["kept"] == 360
    assert 60 <= first[1]["kept"] <= 120
    second = json.loads(run(*command, "--json").stdout)
    assert [report["kept"] for report in second] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["status"], UNUSABLE, "is not a workspace"),
        (["import", "x.jsonl"], UNUSABLE, "is not a workspace"),
    ],
)
def test_a_folder_that_is_no_workspace_is_said_so(tmp_path, arguments, code, words):
    result = run("--workspace", str(tmp_path), *arguments)
    assert result.exit_code == code
    assert words in result.output
    assert "mars --workspace" in result.output


def counts(workspace: str) -> dict[str, int]:
    status = json.loads(run("--workspace", workspace, "status", "--json").stdout)
    return {"train": status["counts"][0]["count"], "heldout": status["heldout_pairs"]}


def test_a_dry_run_shows_the_report_and_the_first_pairs_and_stores_nothing(workspace):
    data = str(shipped("data") / "demo-train.jsonl")
    before = (Path(workspace) / "mars.sqlite").read_bytes()
    (preview,) = json.loads(run("--workspace", workspace, "import", data, "--dry-run", "--json").stdout)
    assert (preview["report"]["format"], preview["report"]["kept"]) == ("trl", 360)
    assert len(preview["first"]) == 3
    first = json.loads(Path(data).read_text().splitlines()[0])
    assert preview["first"][0]["prompt"] == first["prompt"]
    shown = run("--workspace", workspace, "import", data, "--dry-run").output
    assert shown.startswith("Nothing is stored")
    assert "360 rows read as trl, 360 new train pairs kept" in shown
    assert shown.count("chosen: ") == shown.count("rejected: ") == 3
    assert counts(workspace) == {"train": 0, "heldout": 0}
    with open_workspace_store(find_workspace(Path(workspace))) as store:
        assert store.runs.all() == []
    assert (Path(workspace) / "mars.sqlite").read_bytes() == before


def test_a_dry_run_of_both_parts_shows_both(workspace):
    data = str(shipped("data") / "demo-train.jsonl")
    previews = json.loads(
        run("--workspace", workspace, "import", data, "--holdout", "0.25", "--dry-run", "--json").stdout
    )
    assert [preview["report"]["split"] for preview in previews] == ["train", "heldout"]
    assert sum(preview["report"]["kept"] for preview in previews) == 360


def test_the_demo_pairs_are_a_source_of_their_own(workspace):
    reports = json.loads(run("--workspace", workspace, "import", "demo", "--json").stdout)
    assert [(report["split"], report["kept"]) for report in reports] == [("train", 360), ("heldout", 252)]
    assert counts(workspace) == {"train": 360, "heldout": 252}
    assert run("--workspace", workspace, "import", "demo", "--split", "train").exit_code == 2


def test_split_and_holdout_exclude_each_other(workspace):
    data = str(shipped("data") / "demo-train.jsonl")
    result = run("--workspace", workspace, "import", data, "--split", "heldout", "--holdout", "0.2")
    assert result.exit_code == 2
    assert "exclude each other" in result.output


def test_a_missing_file_is_bad_input_and_leaves_nothing(workspace):
    result = run("--workspace", workspace, "import", "absent.jsonl")
    assert result.exit_code == BAD_INPUT
    assert "absent.jsonl" in result.output
    assert "Traceback" not in result.output
    assert json.loads(run("--workspace", workspace, "status", "--json").stdout)["counts"][0]["count"] == 0


def test_errors_are_json_too_when_asked_for(workspace):
    result = run("--workspace", workspace, "import", "absent.jsonl", "--json")
    assert result.exit_code == BAD_INPUT
    assert "absent.jsonl" in json.loads(result.stderr)["error"]["found"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train"], "mars import"),
        (["score"], "mars train"),
        (["propose"], "mars train"),
        (["review", "--policy", "gates"], "mars propose"),
        (["regate"], "mars propose"),
        (["compose"], "mars propose"),
        (["evaluate"], "--split heldout"),
        (["open-round"], "mars import"),
        (["close-round"], "mars propose"),
        (["export", "x.jsonl"], "mars"),
    ],
)
def test_a_step_too_early_names_the_step_before(workspace, command, words):
    result = run("--workspace", workspace, *command)
    assert result.exit_code == NOT_READY, result.output
    assert words in result.output


def test_wrong_usage_and_settings_have_their_own_codes(workspace):
    assert run("--workspace", workspace, "import").exit_code == 2
    assert run("--workspace", workspace, "train", "--probe-l2", "-1").exit_code == BAD_INPUT
    Path(workspace, "mars.toml").write_text("[allocation]\nbugdet = 5\n")
    result = run("--workspace", workspace, "status")
    assert result.exit_code == BAD_INPUT
    assert "allocation.bugdet" in result.output


def test_a_failed_run_is_recorded_with_its_error(workspace):
    run("--workspace", workspace, "import", "absent.jsonl")
    with open_workspace_store(find_workspace(Path(workspace))) as store:
        (newest,) = store.runs.all()
    assert (newest.kind, newest.state) == ("import", "failed")
    assert "absent.jsonl" in newest.error


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--warm-up", "--rounds", "2"], "give one"),
        (["--policy", "gates"], "they go with --rounds"),
        (["--patience", "1"], "they go with --rounds"),
    ],
)
def test_options_of_training_that_contradict_each_other_are_refused(options, says, workspace):
    refused = run("--workspace", workspace, "train", *options)
    assert refused.exit_code == 2
    assert says in refused.output
