"""Policies judged by a scripted server in both orders: garbage, bias, what is kept, and the files."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chat_tools import QUICK
from fakes import TickingClock
from scripted_chat import Answer, Asked, ScriptedServer, serving

from mars_engine.align.alpaca.evaluation import AlpacaReport, evaluate_policies
from mars_engine.align.alpaca.formats import ModelOutputs, Output, load_annotations, load_leaderboard, load_outputs
from mars_engine.align.alpaca.judges import BothOrders
from mars_engine.core.config import EvaluateConfig, MarsConfig, QualityConfig
from mars_engine.core.errors import LoadError, MarsError
from mars_engine.core.progress import SilentProgress
from mars_engine.store import Store, open_store
from mars_engine.workspace.generators import open_generators

pytestmark = pytest.mark.slow

CONFIG = EvaluateConfig(resamples=100)
Script = Callable[[Asked], Answer]


def model(name: str, *, prompts: int = 60, length: int = 5) -> ModelOutputs:
    """A model whose answers are about so many words long, every prompt's of another length."""
    rows = [Output(f"Task {n}?", " ".join([name] * (length + n * 7 % 5))) for n in range(prompts)]
    return ModelOutputs(name, tuple(rows))


def answers_in(asked: Asked) -> tuple[str, str]:
    first, second = re.findall(r"<(?:first|second)>\n(.*?)\n</", asked.messages[-1]["content"], re.DOTALL)
    return first, second


def say(better: str) -> Answer:
    return Answer(json.dumps({"better": better}))


def prefers_longer(asked: Asked) -> Answer:
    first, second = answers_in(asked)
    return say("tie" if len(first) == len(second) else "first" if len(first) > len(second) else "second")


@contextmanager
def judged_by(server: ScriptedServer, store: Store, *, ask_again: bool, max_requests: int) -> Iterator[BothOrders]:
    config = MarsConfig(
        chat=QUICK.model_copy(update={"base_url": server.base_url, "max_requests": max_requests}),
        quality=QualityConfig(judge_by="chat"),
    )
    clock = TickingClock()
    # Neither paraphraser nor refiner is used, so that no encoder is needed.
    with open_generators(
        Path("/nonexistent"), config, None, store.chat, progress=SilentProgress(), clock=clock
    ) as found:
        assert found.judge is not None
        yield BothOrders(found.judge, "tiny", ask_again=ask_again)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite://")
    yield opened
    opened.close()


def run(
    server: ScriptedServer,
    store: Store,
    root: Path,
    policies: Sequence[ModelOutputs],
    *,
    baseline: ModelOutputs | None = None,
    ask_again: bool = False,
    max_requests: int = 0,
    **options: Any,
) -> AlpacaReport:
    with judged_by(server, store, ask_again=ask_again, max_requests=max_requests) as judge:
        return evaluate_policies(
            policies,
            baseline or model("base"),
            judge,
            prompts="60 made-up tasks",
            root=root,
            artifacts="artifacts",
            store=store,
            clock=TickingClock(),
            config=CONFIG,
            **options,
        )


def test_a_judge_that_always_says_the_first_gives_an_even_win_rate_and_a_warning(store, tmp_path):
    with serving(lambda _: say("first")) as server:
        report = run(server, store, tmp_path, [model("policy", length=9)])

    (policy,) = report.policies
    figures = policy.figures
    assert (figures.wins.win_rate, figures.wins.n_draws, figures.wins.n_failed) == (50, 60, 0)
    bias = figures.position_bias
    assert bias is not None
    assert (bias.n_contradicting, bias.n_prompts, bias.n_decided) == (60, 60, 120)
    (warning,) = [each for each in figures.warnings if "position bias" in each]
    assert "the answer shown first in 100% of 120 verdicts" in warning
    assert "contradicts itself in 60 of 60 prompts" in warning


def garbage_for(numbers: set[int], otherwise: Script) -> Script:
    """Answer nonsense about these prompts, where the baseline's answer stands first."""

    def script(asked: Asked) -> Answer:
        number = int(re.search(r"Task (\d+)\?", asked.messages[-1]["content"])[1])
        if number in numbers and answers_in(asked)[0].startswith("base"):
            return Answer("Both have their merits, I would say.")
        return otherwise(asked)

    return script


def test_every_prompt_is_accounted_for_when_some_answers_are_garbage(store, tmp_path):
    bad = {3, 17, 40}
    with serving(garbage_for(bad, prefers_longer)) as server:
        report = run(server, store, tmp_path, [model("policy", length=9)])

    (policy,) = report.policies
    wins = policy.figures.wins
    assert wins.n_total + wins.n_failed == policy.figures.n_prompts == 60
    assert wins.n_wins + wins.n_wins_base + wins.n_draws == wins.n_total == 57
    assert policy.figures.failures == {"the judge's answer does not say which is better": 3}
    assert any("3 of 60 prompts were not judged" in each for each in policy.figures.warnings)
    annotations = load_annotations(policy.folder / "annotations.json")
    assert {n for n, each in enumerate(annotations) if each.preference is None} == bad
    assert annotations[3].columns["preference_policy_first"] == 2
    assert annotations[3].columns["preference_baseline_first"] is None


def test_nothing_is_asked_twice_and_garbage_only_where_one_wants_it(store, tmp_path):
    with serving(garbage_for({3}, prefers_longer)) as server:
        first = run(server, store, tmp_path, [model("policy")])
        asked = len(server.asked)
        second = run(server, store, tmp_path, [model("policy")])

        assert asked == 120
        assert len(server.asked) == asked
        assert first == second

        server.script = prefers_longer
        third = run(server, store, tmp_path, [model("policy")], ask_again=True)

    assert len(server.asked) == asked + 1
    assert third.policies[0].figures.wins.n_failed == 0


def test_a_budget_ends_the_judging_and_the_next_run_goes_on_there(store, tmp_path):
    with serving(prefers_longer) as server:
        first = run(server, store, tmp_path, [model("policy")], max_requests=50)
        assert len(server.asked) == 50
        second = run(server, store, tmp_path, [model("policy")])

        assert len(server.asked) == 120
    (reason,) = first.policies[0].figures.failures
    assert "the budget of 50 requests (chat.max_requests) is used up" in reason
    assert second.policies[0].figures.wins.n_failed == 0


@pytest.mark.slow
def test_policies_stand_beside_each_other(store, tmp_path):
    policies = [model("long", length=12), model("short", length=2)]
    with serving(prefers_longer) as server:
        report = run(server, store, tmp_path, policies, matrix=True)

    assert [each.figures.wins.win_rate for each in report.policies] == [100, 0]
    (difference,) = report.differences
    assert (difference.first, difference.second) == ("long", "short")
    assert difference.difference.interval.estimate == 100
    assert difference.difference.n_prompts == 60
    table = {(cell.row, cell.column): cell.wins.win_rate for cell in report.matrix}
    assert len(table) == 6
    assert (table["long", "short"], table["short", "long"], table["base", "long"]) == (100, 0, 0)
    assert all(table[row, column] + table[column, row] == 100 for row, column in table)


def test_the_files_are_alpacaevals_and_the_leaderboard_grows(store, tmp_path):
    with serving(prefers_longer) as server:
        report = run(server, store, tmp_path, [model("mine/policy", length=12)])
        again = run(server, store, tmp_path, [model("other")])

    (policy,) = report.policies
    assert report.folder == again.folder
    assert load_outputs(policy.folder / "model_outputs.json") == model("mine/policy", length=12)
    assert load_outputs(report.folder / "reference_outputs.json") == model("base")
    board = load_leaderboard(report.folder / "leaderboard.csv")
    assert list(board) == ["mine/policy", "other"]
    assert board["mine/policy"]["win_rate"] == 100
    record = store.evaluations.all("alpaca_eval")[-1]
    assert (record.label, record.settings["baseline"], record.settings["judge"]) == ("mine/policy", "base", "tiny")
    assert record.settings["prompts"] == "60 made-up tasks"
    assert record.results["wins"]["win_rate"] == 100


def test_prompts_without_a_partner_are_counted(store, tmp_path):
    policies = [
        ModelOutputs(name, (*model(name, prompts=30).rows, Output("Only mine?", name))) for name in ("policy", "other")
    ]
    with serving(prefers_longer) as server:
        report = run(server, store, tmp_path, policies, matrix=True)

    assert {(cell.row, cell.column): cell.wins.n_total for cell in report.matrix}["policy", "other"] == 30
    found = report.policies[0]
    assert (found.figures.n_prompts, found.only_baseline, found.only_policy) == (30, 30, 1)


def test_a_longer_answer_that_always_wins_is_told(store, tmp_path):
    with serving(prefers_longer) as server:
        report = run(server, store, tmp_path, [model("policy", length=12)])

    figures = report.policies[0].figures
    assert any("The longer answer wins 100% of 60 prompts" in each for each in figures.warnings)
    assert not any("position bias" in each for each in figures.warnings)


def test_models_that_cannot_be_told_apart_or_share_nothing(store, tmp_path):
    elsewhere = ModelOutputs("elsewhere", (Output("Another?", "yes"),))
    with serving(prefers_longer) as server:
        with pytest.raises(MarsError, match="several of the files are of a model named 'policy'"):
            run(server, store, tmp_path, [model("policy"), model("policy", length=9)])
        with pytest.raises(LoadError, match="elsewhere and base have no instruction in common"):
            run(server, store, tmp_path, [elsewhere])

    assert not server.asked
