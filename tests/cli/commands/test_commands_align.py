"""`mars align`: from a reward model to an adapter; cancelled, killed and gone on with; and what it refuses."""

import json
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes import make_pairs
from forked_mars import ForkedMars, begin_two
from safetensors.numpy import load_file
from tiny_policy import save_tiny_policy

from mars_engine.align.training.facts import read_policy
from mars_engine.align.training.looks import load_looks
from mars_engine.cli.main import BAD_INPUT, INTERRUPTED, NOT_READY, UNUSABLE, mars
from mars_engine.workspace.aligning import POLICIES_FOLDER
from mars_engine.workspace.workspace import DATABASE_FILE, create_workspace

pytestmark = pytest.mark.model

SMALL = {
    "prompts-per-step": 4,
    "completions": 2,
    "max-new-tokens": 8,
    "learning-rate": 1e-2,
    "watched-prompts": 4,
    "watch-every": 2,
    "checkpoint-every": 2,
}
OPTIONS = tuple(f"--align-{name}={value}" for name, value in SMALL.items())

NEWEST_STEP = "SELECT max(step) FROM run_points WHERE metric = ?"
VALUES = "SELECT value FROM run_points WHERE metric = ? ORDER BY step"


def run(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "--quiet", *arguments], prog_name="mars")


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_policy(tmp_path_factory.mktemp("policy"), steps=20))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a probe and fourteen held-out prompts."""
    folder = tmp_path_factory.mktemp("align")
    root = create_workspace(folder / "w").root
    pairs = make_pairs(54)
    for split, some in (("train", pairs[:40]), ("heldout", pairs[40:])):
        rows = [{"prompt": each.prompt[0].content, "chosen": each.chosen, "rejected": each.rejected} for each in some]
        assert run(root, "import", write(folder / f"{split}.jsonl", rows), "--split", split).exit_code == 0
    assert run(root, "train").exit_code == 0
    return root


@pytest.fixture
def own(workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(workspace, tmp_path / "w"))


def query(workspace: Path, statement: str, *values: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(workspace / DATABASE_FILE)
    try:
        return database.execute(statement, values).fetchall()
    finally:
        database.close()


def adapter(workspace: Path) -> dict[str, np.ndarray]:
    (folder,) = (workspace / POLICIES_FOLDER).iterdir()
    return load_file(folder / "adapter_model.safetensors")


def test_a_policy_is_trained_against_the_newest_reward_model(own: Path, policy: str) -> None:
    asked = ("align", "--method", "ppo", "--policy", policy, "--steps", "3", *OPTIONS, "--gold", "warm-up", "--json")
    result = run(own, *asked)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["facts"]["method"], found["facts"]["steps"], found["facts"]["rewards"]) == ("ppo", 3, ["warm-up"])
    assert (found["facts"]["prompts"], found["facts"]["watched"]) == (10, 4)
    assert found["facts"]["gold_after"] == pytest.approx(found["facts"]["reward_after"])
    folder = Path(found["folder"])
    assert adapter(own)
    assert all((folder / name).is_file() for name in ("adapter_config.json", "README.md", "samples.jsonl"))
    ((state, summary),) = query(own, "SELECT state, summary FROM runs WHERE kind = 'align'")
    assert state == "finished"
    assert json.loads(summary)["reward after"] == found["facts"]["reward_after"]
    points = dict(query(own, "SELECT metric, count(*) FROM run_points GROUP BY 1"))
    assert (points["reward"], points["KL"], points["entropy"]) == (3, 3, 3)
    assert (points["watched reward"], points["watched gold reward"]) == (3, 3)  # before, at step 2 and at the end
    ratios = [value for (value,) in query(own, VALUES, "distance from training data")]
    looks = load_looks(folder)
    expected = [look.distance.mean() / looks[0].distance.mean() for look in looks]
    assert ratios == pytest.approx(expected)
    assert f"| {expected[-1]:.2f} |" in (folder / "README.md").read_text(encoding="utf-8").split("| 3 |")[1]
    again = run(own, *asked)
    assert json.loads(again.stdout) == found


def test_settings_come_from_a_file_and_prompts_too(own: Path, policy: str, tmp_path: Path) -> None:
    settings = tmp_path / "align.toml"
    values = {name.replace("-", "_"): value for name, value in SMALL.items()} | {"method": "ppo", "steps": 9}
    settings.write_text("[align]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    prompts = [{"prompt": f"question number {n} about topic {n % 7}"} for n in range(30, 50)]
    asked = ("align", "--settings", str(settings), "--policy", policy, "--steps", "1")
    result = run(own, *asked, "--prompts", write(tmp_path / "prompts.jsonl", prompts))
    assert result.exit_code == 0, result.output
    assert "left out: 10 × prompt that a reward model was trained on" in result.stderr
    assert "trained by ppo for 1 steps on 6 prompts" in result.stdout


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def strike_after(
    process: ForkedMars, workspace: Path, step: int, how: signal.Signals, *, metric: str = "policy loss"
) -> str:
    """Send a signal once the training has noted a step; return what the process said."""
    deadline = time.monotonic() + 300
    while (query(workspace, NEWEST_STEP, metric)[0][0] or 0) < step:
        assert process.returncode is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.strike(how)
    return process.communicate(timeout=120)[1]


def test_cancelled_and_killed_it_goes_on_exactly(
    workspace: Path, tmp_path: Path, policy: str, environment: dict[str, str]
) -> None:
    quiet, struck = (Path(shutil.copytree(workspace, tmp_path / name)) for name in ("quiet", "struck"))
    command = ("align", "--method", "ppo", "--policy", policy, "--steps", "30", *OPTIONS)
    undisturbed = ForkedMars(quiet, *command, environment=environment)

    process = ForkedMars(struck, *command, environment=environment)
    said = strike_after(process, struck, 3, signal.SIGINT)
    assert process.returncode == INTERRUPTED, said
    assert "Traceback" not in said
    assert query(struck, "SELECT state FROM runs ORDER BY ordinal DESC LIMIT 1") == [("cancelled",)]
    reached = query(struck, "SELECT max(step) FROM run_points WHERE metric = 'policy loss'")[0][0]
    (training,) = (struck / "artifacts" / "checkpoints").iterdir()
    assert (training / f"checkpoint-{reached}").is_dir(), "the step that was under way is kept"

    process = ForkedMars(struck, *command, environment=environment)
    strike_after(process, struck, reached + 5, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (struck / POLICIES_FOLDER).exists()
    last = ForkedMars(struck, *command, environment=environment)
    said = [process.communicate()[1] for process in (last, undisturbed)]
    assert (last.returncode, undisturbed.returncode) == (0, 0), said
    states = [state for (state,) in query(struck, "SELECT state FROM runs WHERE kind = 'align' ORDER BY ordinal")]
    assert states == ["cancelled", "lost", "finished"]
    found, expected = adapter(struck), adapter(quiet)
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_array_equal(found[name], weight, err_msg=name)


def test_two_processes_train_one_policy(own: Path, policy: str) -> None:
    sizes = {"completions": 8, "watched-prompts": 8, "kl-weight": 0.02}
    options = [f"--align-{name}={value}" for name, value in (SMALL | sizes).items()]
    train_in_two(own, "align", "--method", "rloo", "--policy", policy, "--steps", "12", *options)
    facts = read_policy(next((own / POLICIES_FOLDER).iterdir())).facts
    assert (facts.steps, facts.watched) == (12, 8)
    assert facts.reward_after > facts.reward_before
    assert adapter(own)
    assert query(own, "SELECT state, count(*) FROM runs WHERE kind = 'align'") == [("finished", 1)]
    steps = "SELECT step FROM run_points WHERE metric = ? ORDER BY step"
    assert query(own, steps, "loss") == [(step,) for step in range(1, 13)]
    assert query(own, steps, "watched reward") == [(step,) for step in range(0, 13, 2)]


def train_in_two(workspace: Path, *command: str) -> None:
    processes = begin_two(workspace, *command)
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said


def test_dpo_of_two_processes_is_dpo_of_one(
    workspace: Path, tmp_path: Path, policy: str, environment: dict[str, str]
) -> None:
    one, two = (Path(shutil.copytree(workspace, tmp_path / name)) for name in ("one", "two"))
    sizes = {"completions": 4, "watched-prompts": 6, "learning-rate": 1e-3, "lora-dropout": 0, "precision": "fp32"}
    options = [f"--align-{name}={value}" for name, value in (SMALL | sizes).items()]
    command = ("align", "--method", "dpo", "--policy", policy, "--steps", "6", *options)
    alone = ForkedMars(one, *command, environment=environment)
    train_in_two(two, *command)
    _, errors = alone.communicate()
    assert alone.returncode == 0, errors
    for metric in ("loss", "preference margin", "watched KL", "watched reward"):
        found, expected = (np.array(query(each, VALUES, metric)) for each in (two, one))
        assert len(expected) >= 4
        np.testing.assert_allclose(found, expected, atol=1e-3, err_msg=metric)
    found, expected = adapter(two), adapter(one)
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, atol=1e-3, err_msg=name)


def test_two_processes_stop_together_and_go_on_from_their_checkpoint(own: Path, policy: str) -> None:
    command = ("align", "--method", "rloo", "--policy", policy, "--steps", "8", *OPTIONS)
    first, second = begin_two(own, *command)
    said = strike_after(first, own, 3, signal.SIGINT, metric="loss")
    second.strike(signal.SIGTERM)  # as the launcher does
    second.communicate()
    assert first.returncode == INTERRUPTED, said
    reached = query(own, NEWEST_STEP, "loss")[0][0]
    (training,) = (own / "artifacts" / "checkpoints").iterdir()
    assert (training / f"checkpoint-{reached}").is_dir(), "the step that was under way is kept"
    train_in_two(own, *command)
    again = (
        "SELECT min(step), max(step) FROM run_points JOIN runs ON id = run_id "
        "WHERE metric = 'loss' AND kind = 'align' AND state = 'finished'"
    )
    assert query(own, again) == [(reached + 1, 8)]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--reward-model", "nobody"), UNUSABLE, "has no reward model 'nobody'"),
        (("--policy", "no/such model"), UNUSABLE, "policy 'no/such model' is neither a folder"),
        (("--align-max-prompt-tokens", "8"), NOT_READY, "prompts are too long"),
        (("--align-ppo-minibatches", "3"), BAD_INPUT, "cannot share 8 completions a step"),
        (("--settings", "absent.toml"), BAD_INPUT, "absent.toml cannot be read"),
    ],
)
def test_what_it_cannot_do_is_said(
    workspace: Path, policy: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = run(workspace, "align", "--method", "ppo", "--policy", policy, "--steps", "1", *OPTIONS, *arguments)
    assert result.exit_code == code, result.output
    assert said in " ".join(result.stderr.split())


def test_without_a_reward_model_there_is_nothing_to_train_against(tmp_path: Path) -> None:
    result = run(create_workspace(tmp_path / "w").root, "align")
    assert result.exit_code == NOT_READY
    assert "run 'mars train' first" in result.stderr
