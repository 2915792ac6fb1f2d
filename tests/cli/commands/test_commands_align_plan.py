"""`mars align --plan`: from a plan to the report, killed and gone on with, and what it refuses."""

import csv
import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes import make_pairs
from forked_mars import ForkedMars
from tiny_policy import save_tiny_policy

import mars_engine as mars_api
from mars_engine.cli.main import BAD_INPUT, NOT_READY, UNUSABLE, mars
from mars_engine.core.config import EvaluateConfig
from mars_engine.evaluate.win_rates import kept_win_rates
from mars_engine.experiments.alignment.alignment import COMPARISONS
from mars_engine.experiments.record import EXPERIMENTS, REPORT_FILE, RESULTS_FILE
from mars_engine.workspace.aligning import POLICIES_FOLDER
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store

pytestmark = pytest.mark.model

PLAN = """
name = "tiny"
judge = "{judge}"
methods = ["none", "adaboost"]
ways = ["best-of-n", "ppo"]
seeds = 2
n = 2
review = "accept-all"
matching = "epochs"
{changes}
[encoder]
max_tokens = 32
[probe]
reading = "response"
layers = "2"
l2 = 0.01
[propose]
variants = 2
[training]
epochs = 2
[evaluate]
resamples = 200
[align]
policy = "{policy}"
steps = 2
prompts_per_step = 4
completions = 2
max_new_tokens = 8
learning_rate = 1e-2
watched_prompts = 4
watch_every = 1
checkpoint_every = 1
"""

WIDE = 'methods = ["none", "adaboost"]\nways = ["best-of-n", "ppo"]\nseeds = 2\n'


def run(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "--quiet", *arguments], prog_name="mars")


def import_pairs(root: Path, first: int, last: int, split: str) -> None:
    path = root.parent / f"{root.name}-{split}.jsonl"
    pairs = make_pairs(last)[first:]
    rows = [{"prompt": each.prompt[0].content, "chosen": each.chosen, "rejected": each.rejected} for each in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run(root, "import", str(path), "--split", split).exit_code == 0


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_policy(tmp_path_factory.mktemp("policy"), steps=20)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a probe that was trained on other pairs."""
    root = create_workspace(tmp_path_factory.mktemp("judge") / "gold").root
    import_pairs(root, 60, 80, "train")
    assert run(root, "train").exit_code == 0
    return root


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with twelve pairs and ten held-out prompts; no model is trained."""
    root = create_workspace(tmp_path_factory.mktemp("align") / "w").root
    import_pairs(root, 0, 12, "train")
    import_pairs(root, 40, 50, "heldout")
    return root


@pytest.fixture
def own(workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(workspace, tmp_path / "w"))


def write_plan(folder: Path, policy: Path, judge: Path | str, changes: str = "") -> Path:
    path = folder / "plan.toml"
    path.write_text(PLAN.format(policy=policy, judge=judge, changes=changes), encoding="utf-8")
    return path


def made(root: Path) -> dict[str, int]:
    """When each trained head and policy and each finished cell was written."""
    found = [
        *(root / EXPERIMENTS).glob("*/heads/*/probe.json"),
        *(root / POLICIES_FOLDER).glob("[!.]*/policy.json"),
        *(root / COMPARISONS).glob("*/cells/*.json"),
    ]
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in found}


def test_from_a_plan_to_the_report_and_nothing_is_trained_twice(
    own: Path, policy: Path, judge: Path, tmp_path: Path
) -> None:
    plan = write_plan(tmp_path, policy, judge)
    result = run(own, "align", "--plan", str(plan), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    results, folder = report["results"], Path(report["folder"])
    assert (results["judge"], results["prompts"]) == ("warm-up of gold", "held-out prompts")
    assert [[each["at"] for each in way["readings"]] for way in results["comparisons"]] == [
        ["equal n"],
        ["equal KL", "equal steps"],
    ]
    rows = list(csv.DictReader((folder / RESULTS_FILE).read_text(encoding="utf-8").splitlines()))
    assert {row["judge"] for row in rows} == {"warm-up of gold"}
    assert [row["prompts"] for row in rows] == ["4"] * 6
    assert all(0 <= float(row["win_rate_low"]) <= float(row["win_rate"]) <= float(row["win_rate_high"]) for row in rows)
    at_kl = [row for row in rows if row["at"] == "equal KL"]
    assert float(at_kl[0]["kl_nats"]) == pytest.approx(float(at_kl[1]["kl_nats"]))
    html = (folder / REPORT_FILE).read_text(encoding="utf-8")
    assert "Judge of all figures: <strong>warm-up of gold</strong>" in html
    with open_workspace_store(find_workspace(own)) as store:
        rates = kept_win_rates(store, config=EvaluateConfig())
        assert store.runs.newest(1)[0].summary["judge"] == "warm-up of gold"
    assert [(each.baseline, each.judged) for each in rates] == [(policy.name, 4)] * 4

    before = made(own)
    assert len(before) == 4 + 4 + 8
    with mars_api.open(own) as again:
        assert again.align_plan(plan).id == report["id"]
    assert made(own) == before
    more = run(own, "align", "--plan", str(write_plan(tmp_path, policy, judge)), "--json")
    assert json.loads(more.stdout) == report
    said = run(own, "align", "--plan", str(plan))
    assert "8 policies, of which 8 are finished" in said.stderr
    assert "judged by warm-up of gold" in " ".join(said.stdout.split())


def test_another_judge_trains_nothing_and_one_of_the_same_workspace_is_told(
    own: Path, policy: Path, judge: Path, tmp_path: Path
) -> None:
    text = PLAN.replace(WIDE, 'methods = ["none"]\nways = ["ppo"]\nseeds = 1\n')
    plan = tmp_path / "plan.toml"
    plan.write_text(text.format(policy=policy, judge=judge, changes=""), encoding="utf-8")
    assert run(own, "align", "--plan", str(plan)).exit_code == 0
    trained = {name: when for name, when in made(own).items() if "/cells/" not in name}
    assert run(own, "train").exit_code == 0
    plan.write_text(text.format(policy=policy, judge="warm-up", changes=""), encoding="utf-8")
    result = run(own, "align", "--plan", str(plan))
    assert result.exit_code == 0, result.output
    assert "is a model of this workspace" in " ".join(result.stdout.split())
    assert {name: when for name, when in made(own).items() if "/cells/" not in name} == trained
    assert len(made(own)) == len(trained) + 2


def test_prompts_come_from_a_file_beside_the_plan_and_what_is_left_out_is_said(
    tmp_path: Path, policy: Path, judge: Path
) -> None:
    root = create_workspace(tmp_path / "w").root
    import_pairs(root, 0, 12, "train")
    asked = [{"prompt": f"question number {number} about topic {number % 7}"} for number in range(10, 16)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    plan = write_plan(tmp_path, policy, judge, 'prompts = "asked.jsonl"')
    plan.write_text(plan.read_text().replace(WIDE, 'methods = ["none"]\nways = ["best-of-n"]\nseeds = 1\n'))
    result = run(root, "align", "--plan", str(plan), "--json")
    assert result.exit_code == 0, result.output
    assert "left out: 2 × prompt that a reward model was trained on" in result.stderr
    (comparison,) = json.loads(result.stdout)["results"]["comparisons"]
    assert comparison["prompts"] == 4
    assert comparison["readings"][0]["methods"][0]["accuracy"] is None, "there are no held-out pairs"


def test_killed_it_goes_on_and_ends_as_an_undisturbed_one(
    workspace: Path, policy: Path, judge: Path, tmp_path: Path
) -> None:
    quiet, struck = (Path(shutil.copytree(workspace, tmp_path / name)) for name in ("quiet", "struck"))
    command = ("align", "--plan", str(write_plan(tmp_path, policy, judge)))
    environment: Mapping[str, str] = os.environ | {"OMP_NUM_THREADS": "1"}
    undisturbed = ForkedMars(quiet, *command, environment=environment)
    process = ForkedMars(struck, *command, environment=environment)
    deadline = time.monotonic() + 300
    while not list((struck / POLICIES_FOLDER).glob("[!.]*/policy.json")):
        assert process.returncode is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.strike(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    before = made(struck)
    assert not list((struck / COMPARISONS).glob(f"*/{REPORT_FILE}"))
    last = ForkedMars(struck, *command, environment=environment)
    said = [each.communicate()[1] for each in (last, undisturbed)]
    assert (last.returncode, undisturbed.returncode) == (0, 0), said
    after = made(struck)
    assert {name: after[name] for name in before} == before
    assert after.keys() == made(quiet).keys()
    (one,), (other,) = (list((root / COMPARISONS).glob(f"*/{RESULTS_FILE}")) for root in (struck, quiet))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"changes": "colour = 1"}, BAD_INPUT, "colour = 1"),
        ({"changes": "base_pairs = 13"}, BAD_INPUT, "Expected: 0 held-out and 13 base pairs"),
        ({"judge": "nobody"}, UNUSABLE, "the judge 'nobody' is no model of the workspace"),
        ({"policy": "no/such model"}, UNUSABLE, "policy 'no/such model' is neither a folder"),
    ],
)
def test_what_it_cannot_do_is_said_before_anything_is_trained(
    workspace: Path, policy: Path, judge: Path, tmp_path: Path, changes: dict[str, Any], code: int, said: str
) -> None:
    plan = write_plan(tmp_path, **({"policy": policy, "judge": judge} | changes))
    result = run(workspace, "align", "--plan", str(plan))
    assert result.exit_code == code, result.output
    assert said in " ".join(result.stderr.split())
    assert not made(workspace)


def test_too_few_prompts_and_options_beside_a_plan_are_refused(
    workspace: Path, policy: Path, judge: Path, tmp_path: Path
) -> None:
    plan = write_plan(tmp_path, policy, judge)
    plan.write_text(plan.read_text().replace("watched_prompts = 4", "watched_prompts = 10"))
    result = run(workspace, "align", "--plan", str(plan))
    assert result.exit_code == NOT_READY, result.output
    assert "there are 10 prompts, and 10 are kept to be watched" in " ".join(result.stderr.split())
    for option in (("--gold", "other"), ("--steps", "3"), ("--include-trained",)):
        result = run(workspace, "align", "--plan", str(plan), *option)
        assert result.exit_code == BAD_INPUT, result.output
        assert "--plan is given beside other options" in result.stderr
    assert not made(workspace)
