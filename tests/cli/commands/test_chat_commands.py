"""`mars propose` with a chat model, as a real process: killed, dry, retried; and where the key never appears."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from forked_mars import ForkedMars
from scripted_chat import Answer, Asked, ScriptedServer, key_of_kept, rewrites, serving

from mars_engine.cli.main import BAD_INPUT
from mars_engine.cli.main import mars as cli
from mars_engine.core.chat_records import KeptAnswer
from mars_engine.core.config import ChatConfig, EncoderConfig, MarsConfig, ProposeConfig, TriageConfig
from mars_engine.core.shipped import shipped
from mars_engine.workspace.workspace import (
    DATABASE_FILE,
    create_workspace,
    find_workspace,
    open_workspace_store,
    save_config,
)

pytestmark = pytest.mark.model
PAIRS = 12
KEY = "sk-this-is-the-secret-key-0123456789"
CONCURRENCY = 4


def settings(base_url: str) -> MarsConfig:
    return MarsConfig(
        encoder=EncoderConfig(batch_tokens=512),
        triage=TriageConfig(policy="keep", seeds=2, folds=3),
        propose=ProposeConfig(paraphraser="chat", refiner="chat", variants=2, refine_tries=2, chunk=8),
        chat=ChatConfig(base_url=base_url, model="tiny", concurrency=CONCURRENCY, first_wait_seconds=0.01),
    )


def run(root: Path, *arguments: str, code: int = 0) -> str:
    """Run a command in this process, and return all that it said, in one line."""
    result = CliRunner().invoke(cli, ["--workspace", str(root), "--quiet", *arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def finish(root: Path, *arguments: str, environment: dict[str, str], code: int = 0) -> tuple[str, str]:
    process = ForkedMars(root, *arguments, environment=environment)
    output, errors = process.communicate()
    assert process.returncode == code, errors
    return output, errors


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    """A workspace that is ready to propose."""
    root = tmp_path_factory.mktemp("chat") / "w"
    create_workspace(root, settings("http://127.0.0.1:1/v1"))
    few = root.parent / "few.jsonl"
    lines = (shipped("data") / "demo-train.jsonl").read_text().splitlines(keepends=True)
    few.write_text("".join(lines[:PAIRS]))
    for step in (["import", str(few)], ["train"], ["score"]):
        run(root, *step)
    return root


@pytest.fixture
def root(scored: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "w"
    subprocess.run(["cp", "-r", str(scored), str(copy)], check=True)
    return copy


def point_at(root: Path, server: ScriptedServer) -> None:
    save_config(find_workspace(root), settings(server.base_url))


def kept_in(root: Path) -> list[KeptAnswer]:
    with open_workspace_store(find_workspace(root)) as store:
        return store.chat.all()


def test_killed_in_the_middle_what_was_answered_is_not_sent_again(root, quiet_environment):
    with serving(latency_seconds=0.05) as server:
        point_at(root, server)
        kills = 0
        for stop_at in (10, 26):
            process = ForkedMars(root, "propose", environment=quiet_environment)
            while server.answered.total() < stop_at and process.returncode is None:
                time.sleep(0.005)
            if process.returncode is None:
                process.strike(signal.SIGKILL)
                kills += 1
            process.communicate()
            kept = {key_of_kept(each) for each in kept_in(root)}
            assert len(kept) >= stop_at - kills * 2 * CONCURRENCY, "an answer is on the disk as soon as it has come"
            before = Counter(asked.key for asked in server.asked)
        run(root, "propose")
        after = Counter(asked.key for asked in server.asked)
        assert kills == 2
        assert not {key for key in kept if after[key] > before[key]}, "what was kept was sent again"
        again = sum(count - 1 for count in after.values())
        assert again <= kills * 2 * CONCURRENCY, "only what was under way or being written at a kill is sent again"
        rows = kept_in(root)
        assert {key_of_kept(each) for each in rows} == set(after)
        assert len(rows) == len(after)
        with open_workspace_store(find_workspace(root)) as store:
            assert store.proposals.failures() == []
            assert len(store.proposals.proposals()) >= PAIRS * 2
        run(root, "propose")
        assert Counter(asked.key for asked in server.asked) == after


def test_a_dry_run_says_what_it_would_ask_and_cost_and_asks_nothing(root):
    with serving() as server:
        point_at(root, server)
        said = run(root, "propose", "--dry-run", "--chat-input-price", "1", "--chat-output-price", "4")
        assert "Proposing for 12 source pairs asks the chat model 'tiny'" in said
        assert "0 of which are answered already" in said
        assert "in money" in said
        assert server.asked == []
        generation = json.loads(run(root, "propose", "--dry-run", "--json"))["generation"]
        run(root, "propose")
        assert generation["at_least"]["requests"] <= len(server.asked) <= generation["at_most"]["requests"]
        other = ["--propose-refine-epsilon", "0.03"]
        generation = json.loads(run(root, "propose", "--dry-run", "--json", *other))["generation"]
        assert generation["at_least"]["answered"] > PAIRS, "the same words are not asked twice, whatever the settings"


def test_failures_are_listed_and_tried_again_alone(root):
    repaired: list[bool] = []

    def script(asked: Asked) -> Answer:
        return rewrites(asked) if repaired or len(asked.text) % 4 else Answer("down", status=500)

    with serving(script) as server:
        point_at(root, server)
        said = run(root, "propose", "--chat-retries", "0", "--chat-breaker", "1000")
        assert "'mars propose --retry-failed' tries them again" in said
        failures = json.loads(run(root, "failures", "--json"))
        assert failures
        assert all(each["retryable"] and "the server failed (500: down)" in each["reason"] for each in failures)
        assert "the server failed (500: down)" in run(root, "failures", "--by-reason")
        repaired.append(True)
        before, asked = set(server.answered), len(server.asked)
        forecast = json.loads(run(root, "propose", "--dry-run", "--retry-failed", "--json"))["generation"]
        assert len(server.asked) == asked
        run(root, "propose", "--retry-failed")
        low, high = (forecast[bound]["requests"] - forecast[bound]["answered"] for bound in ("at_least", "at_most"))
        assert 0 < low <= len(server.asked) - asked <= high
        assert max(server.answered.values()) == 1
        assert set(server.answered) > before
        assert run(root, "failures") == "Nothing has failed."


def test_where_nothing_at_all_can_be_generated_the_command_fails_and_what_failed_is_tried_again(root):
    is_down = True

    def script(asked: Asked) -> Answer:
        return Answer("down", status=500) if is_down else rewrites(asked)

    with serving(script) as server:
        point_at(root, server)
        said = run(root, "propose", "--chat-retries", "0", "--chat-breaker", "1000", code=5)
        assert f"nothing could be generated for any of {PAIRS} source pairs" in said
        assert "the server failed (500: down)" in said
        assert len(json.loads(run(root, "failures", "--json"))) >= PAIRS
        is_down = False
        assert "proposals for 12 source pairs" in run(root, "propose", "--retry-failed")
        assert run(root, "failures") == "Nothing has failed."


def test_a_dry_run_estimates_what_a_judge_takes_also_where_rules_write(root):
    with serving() as server:
        point_at(root, server)
        prices = ["--chat-input-price", "1", "--chat-output-price", "4"]
        written = ["--propose-paraphraser", "rules", "--propose-refiner", "extractive"]
        judged = ["--quality-judge", "--quality-judge-by", "chat"]
        said = run(root, "propose", "--dry-run", *prices, *written, *judged)
        assert "asks the chat model 'tiny' 0 requests" in said
        assert "a judge is asked about what passes the other gates" in said
        told = json.loads(run(root, "propose", "--dry-run", "--json", *prices, *written, *judged))["generation"]
        judging = told["judging_at_most"]
        run(root, "propose", *prices, *written, *judged)
        assert 0 < len(server.asked) <= judging["requests"]
        assert judging["cost"] > 0
        asked = [sum(len(turn.content) for turn in each.messages) for each in kept_in(root)]
        assert judging["input_tokens"] / judging["requests"] == pytest.approx(sum(asked) / len(asked) / 4, rel=0.3)


def test_a_dry_run_refuses_what_it_cannot_tell_and_names_what_is_missing(root):
    refused = run(root, "propose", "--dry-run", "--retry-failed", code=4)
    assert "nothing was proposed yet, so nothing has failed" in refused
    with serving() as server:
        point_at(root, server)
        said = run(root, "propose", "--dry-run", "--chat-model", "")
        assert "asks a chat model that is not named yet (chat.model)" in said
        assert "the budget: no limit of requests, no limit of tokens, no limit in money" in said
        priced = run(root, "propose", "--dry-run", "--chat-max-cost", "0.01", code=3)
        assert "max_cost limits nothing without input_price and output_price" in priced


def test_a_prompt_of_ones_own_makes_new_proposals(root):
    with serving() as server:
        point_at(root, server)
        run(root, "propose")
        before = len(server.asked)
        listed = json.loads(run(root, "prompts", "--copy", "paraphrase", "--json"))
        own = root / "prompts" / "paraphrase.txt"
        assert [each["path"] for each in listed if each["is_own"]] == [str(own)]
        assert "version: 1" in run(root, "prompts", "--show", "judge")
        own.write_text(own.read_text().replace("version: 1", "version: mine").replace("in other words", "otherwise"))
        run(root, "propose")
        assert len(server.asked) > before
        assert {each.template.split()[1] for each in kept_in(root) if each.purpose == "paraphrase"} == {"1", "mine"}
        own.write_text("[user]\n{{ text }} {{ nonsense }}")
        errors = run(root, "propose", code=3)
        assert "'nonsense' is undefined" in errors
        assert "is there already" in run(root, "prompts", "--copy", "all", code=3)


def test_the_key_comes_from_the_environment_and_is_found_nowhere_else(root, quiet_environment):
    def wants_key(asked: Asked) -> Answer:
        given = asked.headers.get("authorization", "")
        if given != f"Bearer {KEY}":
            return Answer(f"Incorrect API key provided: {given}", status=401)
        # A server that tells the key to everybody.
        if len(asked.text) % 3 == 0:
            return Answer(f"broken, you sent {given}", status=500)
        if len(asked.text) % 3 == 1:
            return Answer(f"bad request by {given}", status=400)
        return Answer(json.dumps({"rewrites": [f"{asked.text} {given}", f"{asked.text} {KEY} too"]}))

    with serving(wants_key) as server:
        point_at(root, server)
        _, errors = finish(root, "propose", environment=quiet_environment, code=5)
        assert "wants a key (401)" in errors
        assert "MARS_CHAT_API_KEY" in errors
        wrong = quiet_environment | {"MARS_CHAT_API_KEY": f"{KEY}-wrong"}
        _, errors = finish(root, "propose", environment=wrong, code=5)
        assert "refuses the key (401)" in errors
        assert KEY not in errors
        options = ["--chat-retries", "1", "--chat-breaker", "1000"]
        right = quiet_environment | {"MARS_CHAT_API_KEY": KEY, "OPENAI_API_KEY": "another", "OPENAI_LOG": "debug"}
        shown, errors = finish(root, "job", "start", "--json", "propose", *options, environment=right)
        finish(root, "job", "wait", json.loads(shown)["id"], environment=right)
        shown += finish(root, "failures", environment=right)[0]
        assert {asked.headers.get("authorization") for asked in server.asked} >= {f"Bearer {KEY}"}
    assert kept_in(root)
    assert KEY not in shown + errors
    found = [path for path in root.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert found == [], "the key is in a file of the workspace"
    database = (root / DATABASE_FILE).read_bytes()
    assert b"[key]" in database, "the server's words were kept, without it"
    logs = list((root / "artifacts" / "logs").glob("*.log"))
    assert logs


def test_a_key_in_the_settings_is_refused_without_repeating_it(root):
    path = root / "mars.toml"
    text = path.read_text()
    for line, field in (
        (f'api_key_variable = "{KEY}"', "api_key_variable"),
        (f'base_url = "https://me:{KEY}@host/v1"', "base_url"),
    ):
        lines = [line if each.startswith(f"{field} = ") else each for each in text.splitlines()]
        path.write_text("\n".join(lines))
        errors = run(root, "status", code=3)
        assert f"chat.{field}" in errors
        assert KEY not in errors


def test_streamlits_secrets_become_environment_variables_which_jobs_inherit(tmp_path, quiet_environment):
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(f'MARS_CHAT_API_KEY = "{KEY}"')
    program = (
        "import os\n"
        "from streamlit.runtime.secrets import secrets_singleton\n"
        "assert secrets_singleton.load_if_toml_exists()  # as the server does when it starts\n"
        "print(os.environ['MARS_CHAT_API_KEY'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=quiet_environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == KEY


def test_requests_are_written_and_answers_taken_in_without_a_server(root, tmp_path):
    out, answers = tmp_path / "out.jsonl", tmp_path / "in.jsonl"
    rounds = 0
    while "Nothing is left to ask" not in (said := run(root, "propose", "--requests", str(out), "--overwrite")):
        rounds += 1
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert f"wrote {len(lines)} requests to {out}" in said
        answers.write_text("".join(f"{json.dumps(answered(line))}\n" for line in lines))
        report = json.loads(run(root, "propose", "--answers", str(answers), "--json"))
        assert (report["given"], report["taken"], report["missing"]) == (len(lines), len(lines), 0)
    assert rounds >= 1
    said = run(root, "propose", "--answers", str(answers))
    assert f"{len(lines)} answers in the files: 0 taken in" in said
    assert f"{len(lines)} taken before" in said
    with open_workspace_store(find_workspace(root)) as store:
        pair = store.pairs.pairs("train")[0]
    answers.write_text(f'{{"id": "{pair.id}", "side": "chosen", "rewrite": "By hand."}}\n{{"id": 1}}\n')
    said = run(root, "propose", "--answers", str(answers), "--writer", "Ada")
    assert "By Ada:" in said
    assert "2 answers in the files: 1 taken in" in said
    assert "it has no rewrite" in said or "no pair has the id '1'" in said


def answered(line: dict) -> dict:
    """A line of a batch's output, to one of its input."""
    content = rewrites(Asked(line["body"], {}, 0)).content
    body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    return {"id": "x", "custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--requests", "out.jsonl", "--dry-run"], "--dry-run cannot be used with --requests"),
        (["--requests", "out.jsonl", "--answers", "in.jsonl"], "--answers cannot be used with --requests"),
        (["--answers", "in.jsonl", "--retry-failed"], "--retry-failed cannot be used with --answers"),
        (["--writer", "Ada"], "--writer cannot be used without --requests and --answers"),
        (["--requests", "out.txt"], "expected: one of .jsonl"),
        (["--answers", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_options_that_do_not_go_together_are_refused(root, options, said):
    assert said.lower() in run(root, "propose", *options, code=2 if "cannot" in said else BAD_INPUT).lower()
