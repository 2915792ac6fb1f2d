"""Proposing by a chat model behind a server that misbehaves: nothing lost, nothing asked twice, no failure hidden."""

import hashlib
import json
from collections import Counter
from dataclasses import replace

import pytest
from chat_tools import QUICK, chat_bench, chat_config, planned
from scripted_chat import TEN_MEGABYTES, Answer, Asked, ScriptedServer, key_of_kept, rewrites, serving, well_behaved

from mars_engine.augment.generation_forecast import forecast_generation
from mars_engine.augment.propose import make_proposals
from mars_engine.core.config import ChatConfig
from mars_engine.core.errors import GenerationError, NotReadyError

PAIRS = 200
IMPATIENT = QUICK.model_copy(update={"timeout_seconds": 4.0, "retries": 2, "concurrency": 24, "breaker": 50})
BEHAVIOURS = (
    "busy at first",
    "broken at first",
    "hangs at first",
    "cut off",
    "empty",
    "the input",
    "ten megabytes",
    "always broken",
    "no JSON",
    *["good"] * 11,
)


def behaviour_of(asked: Asked) -> str:
    digest = hashlib.sha256(asked.text.encode()).digest()
    return BEHAVIOURS[int.from_bytes(digest[:4]) % len(BEHAVIOURS)]


def misbehaving(asked: Asked) -> Answer:  # noqa: PLR0911 (one return a behaviour)
    behaviour = behaviour_of(asked)
    good = rewrites(asked)
    if behaviour == "always broken":
        return Answer("out of order", status=500)
    if asked.attempt == 0 and behaviour == "busy at first":
        return Answer("slow down", status=429, headers={"Retry-After": "0.02"})
    if asked.attempt == 0 and behaviour == "broken at first":
        return Answer("oh no", status=503)
    if asked.attempt == 0 and behaviour == "hangs at first":
        return replace(good, hang_seconds=6.0)
    if behaviour == "cut off":
        return Answer(good.content[: good.content.rindex('"') - 3], finish_reason="length")
    if behaviour == "empty":
        return Answer(json.dumps({"rewrites": ["", "  "]}))
    if behaviour == "the input":
        return Answer(json.dumps({"rewrites": [asked.text, asked.text.upper()]}))
    if behaviour == "ten megabytes":
        return Answer(body=TEN_MEGABYTES)
    if behaviour == "no JSON":
        return Answer("I would rather not.")
    return good


def check_counts(server: ScriptedServer, bench, *, whole_answers_once: bool = True) -> None:
    """The server's own count is that of the table, and each request was answered once at most."""
    kept = bench.store.chat.all()
    assert sum(each.attempts for each in kept) == len(server.asked)
    assert {key_of_kept(each) for each in kept} == {asked.key for asked in server.asked}
    if whole_answers_once:
        assert max(server.answered.values()) == 1


@pytest.mark.slow
def test_over_200_pairs_nothing_is_lost_nothing_asked_twice_and_no_failure_hidden():
    # In few chunks, so that those that hang are waited for together.
    with (
        serving(misbehaving) as server,
        chat_bench(chat_config(server.base_url, chat=IMPATIENT, chunk=100), pairs=PAIRS) as bench,
    ):
        plan = planned(bench)
        report = make_proposals(bench, plan)
        # A hanging request was answered in the end, to nobody; the server cannot know that.
        hung = {asked.key for asked in server.asked if behaviour_of(asked) == "hangs at first"}
        assert hung
        assert all(count == 1 for key, count in server.answered.items() if key not in hung)
        check_counts(server, bench, whole_answers_once=False)
        _check_every_text_is_accounted_for(bench, plan)
        _check_reasons(bench, report)
        # Again: all is done, so the server hears nothing.
        before = len(server.asked)
        assert make_proposals(bench, plan).done_before == report.sources
        assert len(server.asked) == before


def _check_every_text_is_accounted_for(bench, plan) -> None:
    """For each source and text there are as many rewrites as asked for, or there is a failure that says why not."""
    rows = [row for row in bench.store.proposals.plan_rows(plan.id) if row.budget > 0]
    pairs = bench.store.pairs.by_id({row.pair_id for row in rows})
    failures = bench.store.proposals.failures()
    failed = {(each.source_id, each.target) for each in failures}
    may_pass = {each.source_id for each in failures if each.retryable}
    postponed = {mark for mark, outcome in _outcomes(bench).items() if outcome == "postponed"}
    written = Counter()
    for proposal in bench.store.proposals.proposals():
        source = pairs[proposal.source_id]
        if proposal.method == "refined":
            continue
        for target, text, original in (
            ("prompt", proposal.prompt[-1].content, source.prompt[-1].content),
            ("chosen", proposal.chosen, source.chosen),
            ("rejected", proposal.rejected, source.rejected),
        ):
            assert len(text) < 10_000
            written[proposal.source_id, target] += text != original
    assert len(rows) == 200
    for row in rows:
        if any(mark.startswith(row.pair_id) for mark in postponed):
            assert row.pair_id in may_pass
            assert not any(source == row.pair_id for source, _ in written), "what came of the rest waits with it"
            continue
        for target in ("prompt", "chosen", "rejected"):
            # A rewritten prompt stands in a proposal only beside a rewritten answer.
            answers = max(written[row.pair_id, "chosen"], written[row.pair_id, "rejected"])
            wanted = bench.config.propose.variants if target != "prompt" else answers
            is_whole = written[row.pair_id, target] >= wanted
            assert is_whole or (row.pair_id, target) in failed, f"{target} of {row.pair_id} vanished"


def _outcomes(bench) -> dict[str, str]:
    (settings_id,) = {each.settings_id for each in bench.store.proposals.proposals()}
    return bench.store.proposals.sources_done(settings_id)


def _check_reasons(bench, report) -> None:
    failures = bench.store.proposals.failures()
    assert report.failed == len(failures) == sum(report.failures.values())
    reasons = " | ".join(report.failures)
    for words in (
        "1 cut off",
        "2 empty",
        "2 the text itself, unchanged",
        "longer than 4,000,000 bytes",
        "the server failed (500: out of order), in 3 attempts",
        "the answer holds no rewrites",
    ):
        assert words in reasons
    assert {each.reason for each in failures if each.retryable} == {
        "the server failed (500: out of order), in 3 attempts"
    }
    kept = bench.store.chat.all()
    overlong = [each for each in kept if each.finish_reason == "too long"]
    assert overlong
    assert all(len(each.answer or "") <= 2_000 for each in overlong)
    assert all(each.is_settled for each in overlong), "a bad answer is an answer"


@pytest.mark.slow
def test_what_failed_is_tried_again_alone_and_the_failures_are_replaced():
    repaired: list[bool] = []

    def sometimes_broken(asked: Asked) -> Answer:
        return (
            Answer("down", status=500) if behaviour_of(asked) == "always broken" and not repaired else rewrites(asked)
        )

    chat = IMPATIENT.model_copy(update={"retries": 0})
    with serving(sometimes_broken) as server, chat_bench(chat_config(server.base_url, chat=chat), pairs=60) as bench:
        plan = planned(bench)
        first = make_proposals(bench, plan)
        assert first.retryable == first.failed > 0
        before = len(server.asked)
        repaired.append(True)
        again = make_proposals(bench, plan, retry="retryable")
        assert again.failed == 0
        assert again.proposals > first.proposals
        assert bench.store.proposals.failures() == []
        assert "postponed" not in _outcomes(bench).values()
        asked_again = server.asked[before:]
        assert {behaviour_of(each) for each in server.asked[:before]} >= {"always broken"}
        assert max(server.answered.values()) == 1, "what was answered was not asked again"
        assert asked_again
        check_counts(server, bench)
        assert make_proposals(bench, plan, retry="all").failed == 0
        assert len(server.asked) == before + len(asked_again)


def test_trying_again_under_other_settings_says_why_there_is_nothing_to_try():
    def broken(_asked: Asked) -> Answer:
        return Answer("no")

    with serving(broken) as server, chat_bench(chat_config(server.base_url), pairs=10) as bench:
        plan = planned(bench)
        failed = make_proposals(bench, plan).failed
        assert failed
        card = bench.paraphraser.card
        other = replace(bench.paraphraser, config=bench.config.chat.model_copy(update={"max_tokens": 8192}))
        assert other.card != card
        with pytest.raises(NotReadyError, match=f"{failed} failures are of other settings"):
            make_proposals(replace(bench, paraphraser=other), plan, retry="all")


@pytest.mark.slow
def test_unusable_answers_are_asked_for_anew_only_where_that_is_wanted():
    def first_useless(asked: Asked) -> Answer:
        return Answer("no") if asked.attempt == 0 and behaviour_of(asked) == "empty" else rewrites(asked)

    with serving(first_useless) as server, chat_bench(chat_config(server.base_url), pairs=40) as bench:
        plan = planned(bench)
        first = make_proposals(bench, plan)
        assert first.failed > 0
        assert first.retryable == 0
        before = len(server.asked)
        assert make_proposals(bench, plan, retry="retryable").failed == first.failed
        assert len(server.asked) == before
        assert make_proposals(bench, plan, retry="all").failed == 0
        anew = server.asked[before:]
        repeated = [each for each in anew if each.attempt == 1]
        assert {behaviour_of(each) for each in repeated} == {"empty"}
        seeds = {each.key: each.body["seed"] for each in server.asked[:before]}
        assert all(each.body["seed"] != seeds[each.key] for each in repeated), "another seed, or it says the same"
        kept = [each for each in bench.store.chat.all() if key_of_kept(each) == repeated[0].key]
        assert [each.asking for each in kept] == [0, 1], "the bad answer is kept too"


def test_a_server_that_is_down_opens_the_breaker_and_every_unasked_request_is_listed():
    chat = QUICK.model_copy(update={"retries": 1, "breaker": 3, "concurrency": 2})
    with (
        serving(lambda _: Answer("down", status=502)) as server,
        chat_bench(chat_config(server.base_url, chat=chat), pairs=40) as bench,
    ):
        plan = planned(bench)
        report = make_proposals(bench, plan)
        assert len(server.asked) <= 2 * (3 + 2 * 2), "two attempts of those that failed, and of those that were begun"
        assert report.proposals == 0
        assert report.retryable == report.failed
        unasked = sum(count for reason, count in report.failures.items() if "not asked: 3 requests in a row" in reason)
        assert unasked >= report.failed - 5
        rows = bench.store.proposals.plan_rows(plan.id)
        low, high = (sum(row.gate == gate for row in rows) for gate in ("low", "high"))
        assert report.failed == low + 3 * high, "one refining a low pair, three texts a high one"
        assert report.refinements == {"postponed": low + high}


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_requests": 25}, "the budget of 25 requests"),
        ({"max_total_tokens": 8_000, "max_tokens": 100}, "the budget of 8,000 tokens"),
        (
            {"max_cost": 0.5, "input_price": 100.0, "output_price": 200.0, "max_tokens": 100},
            "the budget of 0.5 in money",
        ),
    ],
)
def test_a_budget_is_never_exceeded_and_what_it_left_is_asked_when_it_is_raised(limits, words):
    limited = QUICK.model_copy(update=limits)
    with serving() as server:
        config = chat_config(server.base_url, chat=limited)
        with chat_bench(config, pairs=30) as bench:
            plan = planned(bench)
            report = make_proposals(bench, plan)
            spent = bench.store.chat.spent()
            assert spent.requests == len(server.asked) > 0
            assert not limited.max_requests or spent.requests == limited.max_requests
            assert not limited.max_total_tokens or spent.tokens <= limited.max_total_tokens
            assert not limited.max_cost or spent.cost <= limited.max_cost
            assert any(words in reason for reason in report.failures)
            assert report.retryable == report.failed > 0
            raised = replace(bench, config=config.model_copy(update={"chat": QUICK}))
            assert forecast_generation(raised, plan, bench.store.proposals.plan_rows(plan.id)).sources == 0
    assert max(server.answered.values()) == 1


@pytest.mark.slow
def test_a_forecast_names_what_will_be_asked_and_what_is_answered_already():
    with serving() as server, chat_bench(chat_config(server.base_url), pairs=30) as bench:
        plan = planned(bench)
        rows = bench.store.proposals.plan_rows(plan.id)
        forecast = forecast_generation(bench, plan, rows)
        low = sum(row.gate == "low" for row in rows)
        assert forecast.sources == 30
        assert forecast.at_least.requests == 30 * 3 + low
        assert forecast.at_most.requests == 30 * 3 + 2 * low
        assert forecast.at_least.answered == 0
        assert forecast.at_least.input_tokens > 0
        assert server.asked == [], "a forecast asks nothing"
        report = make_proposals(bench, plan)
        assert report.failed == 0
        assert forecast.at_least.requests <= len(server.asked) <= forecast.at_most.requests
        assert forecast_generation(bench, plan, rows).sources == 0


def test_a_server_that_wants_a_key_ends_the_work_with_plain_words():
    with (
        serving(lambda _: Answer("no key", status=401)) as server,
        chat_bench(chat_config(server.base_url), pairs=10) as bench,
    ):
        plan = planned(bench)
        with pytest.raises(GenerationError, match=r"wants a key .401.*MARS_CHAT_API_KEY"):
            make_proposals(bench, plan)
        assert bench.store.proposals.failures() == [], "the same step can be run again when the key is there"


@pytest.mark.slow
def test_a_judge_is_asked_about_what_passes_and_its_failures_are_listed():
    def judging(asked: Asked) -> Answer:
        is_judged = "Which answer is better?" in asked.messages[-1]["content"]
        return Answer("hard to say") if is_judged and asked.attempt == 0 else well_behaved(asked)

    with serving(judging) as server, chat_bench(chat_config(server.base_url, judge=True), pairs=20) as bench:
        plan = planned(bench)
        report = make_proposals(bench, plan)
        unjudged = [each for each in bench.store.proposals.failures() if each.target == "judge"]
        assert unjudged
        assert {each.reason for each in unjudged} == {"the judge's answer does not say which is better"}
        passed = [each for each in bench.store.proposals.proposals() if not each.flags]
        assert len(passed) == report.passed_gates
        assert all("judge" not in each.generators["gates"]["judged"] for each in passed)
        again = make_proposals(bench, plan, retry="all")
        assert again.failed == 0
        # It says "first" in either order, which is no objection.
        passed = [each for each in bench.store.proposals.proposals() if not each.flags]
        assert passed
        assert all("judge" in each.generators["gates"]["judged"] for each in passed)


@pytest.mark.slow
def test_what_a_budget_cut_short_ends_as_if_there_had_been_none(tmp_path):
    def proposed(url: str, most: int) -> tuple[set[str], int]:
        chat = QUICK.model_copy(update={"max_requests": most})
        with chat_bench(chat_config(server.base_url, chat=chat), pairs=20, url=url) as bench:
            plan = planned(bench)
            report = make_proposals(bench, plan, retry="retryable" if bench.store.proposals.failures() else None)
            return {each.id for each in bench.store.proposals.proposals()}, report.failed

    with serving() as server:
        whole, _ = proposed("sqlite://", 0)
        url = f"sqlite:///{tmp_path / 'mars.sqlite'}"
        steps = [proposed(url, most) for most in (9, 20, 31, 42, 53, 0)]
    assert [failed > 0 for _, failed in steps] == [*[True] * 5, False]
    assert all(some <= whole for some, _ in steps)
    assert steps[-1][0] == whole


@pytest.mark.slow
def test_what_a_judge_says_when_it_is_asked_again_reaches_the_stored_proposals():
    is_down = True

    def judging(asked: Asked) -> Answer:
        if "Which answer is better?" not in asked.messages[-1]["content"]:
            return well_behaved(asked)
        if is_down:
            return Answer("out of order", status=500)
        words = asked.messages[-1]["content"]
        longer = max(("first", "second"), key=lambda side: len(words.split(f"<{side}>")[1].split(f"</{side}>")[0]))
        return Answer(json.dumps({"better": longer}))

    chat = QUICK.model_copy(update={"retries": 0, "breaker": 1000})
    with serving(judging) as server:
        config = chat_config(server.base_url, chat=chat, judge=True)
        with chat_bench(config, pairs=20) as bench:
            plan = planned(bench)
            first = make_proposals(bench, plan)
            assert first.retryable
            is_down = False
            second = make_proposals(bench, plan, retry="retryable")
            assert second.failed == 0
            verdicts = {each.id: each.flags for each in bench.store.proposals.proposals()}
        with chat_bench(config, pairs=20) as undisturbed:
            make_proposals(undisturbed, planned(undisturbed))
            expected = {each.id: each.flags for each in undisturbed.store.proposals.proposals()}
    assert verdicts == expected
    assert any("judge" in "".join(flags) for flags in verdicts.values())


def test_the_defaults_ask_nobody():
    assert ChatConfig().base_url.startswith("http://127.0.0.1")
