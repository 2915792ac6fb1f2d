"""Asking a server: retries, waits, limits, what it does not take, and what is kept."""

import asyncio
import io
import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import httpx2
import numpy as np
import pytest
from chat_tools import QUICK, an_answer, chat_bench, chat_config
from scripted_chat import Answer, Asked, rewrites, serving

from mars_engine.augment.forecast_in_words import forecast_lines
from mars_engine.augment.generation_forecast import GenerationForecast
from mars_engine.augment.generators.chat.limits import AnswerWriter, PrioritySemaphore, RateLimiter
from mars_engine.augment.generators.chat.prompts import NAMES, copy_prompt, load_prompt
from mars_engine.augment.generators.chat.server import ChatServer
from mars_engine.augment.generators.chat.troubles import retry_after
from mars_engine.augment.generators.protocols import ParaphraseRequest, RefineRequest
from mars_engine.core.chat_records import GenerationEstimate, Spending
from mars_engine.core.errors import ConfigError, GenerationError, StoreError
from mars_engine.core.progress import PlainProgress
from mars_engine.core.records import Turn

pytestmark = pytest.mark.slow

CODE = "First:\n\n```python\nif a < b:\n\treturn 'ä'\n```\n\nUser: hi\nAssistant: ho  \n"


def requests(count: int, *, candidates: int = 2) -> list[ParaphraseRequest]:
    return [ParaphraseRequest(f"k{number}", f"text number {number}", candidates, 0) for number in range(count)]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def paraphrasing(script, *, latency_seconds: float = 0.0, **chat):
    with serving(script, latency_seconds=latency_seconds) as server:
        config = chat_config(server.base_url, chat=QUICK.model_copy(update=chat))
        with chat_bench(config) as bench:
            yield server, bench


def test_texts_reach_the_model_as_they_are():
    with paraphrasing(rewrites) as (server, bench):
        bench.paraphraser.paraphrase([ParaphraseRequest("k", CODE, 1, 0)])
        bench.refiner.refine(
            [RefineRequest("k", (Turn("user", CODE), Turn("assistant", "x")), "better\n", CODE, "rejected", 1, 0)]
        )
        for asked in server.asked:
            assert CODE in asked.messages[-1]["content"]
        assert "[user]\n" + CODE in server.asked[1].messages[-1]["content"]
        assert "[assistant]\nx\n" in server.asked[1].messages[-1]["content"]


def test_equal_requests_are_sent_once_and_all_allowed_are_under_way_at_once():
    with paraphrasing(rewrites, latency_seconds=0.2, concurrency=8) as (server, bench):
        began = time.monotonic()
        answers = bench.paraphraser.paraphrase([*requests(40), *requests(40)])
        assert time.monotonic() - began < 40 * 0.2 * 0.75
        assert len(server.asked) == 40
        assert server.most_at_once == 8
        assert [each.candidates for each in answers[:40]] == [each.candidates for each in answers[40:]]
        assert all(len(each.candidates) == 2 and not each.failure for each in answers)


def test_what_is_expected_is_under_way_before_it_is_asked_for():
    with paraphrasing(rewrites, latency_seconds=0.1) as (server, bench):
        bench.paraphraser.prefetch(requests(8))
        until(lambda: server.answered.total() >= 8)
        assert all(each.candidates for each in bench.paraphraser.paraphrase(requests(8)))
        assert len(server.asked) == 8


def test_what_is_wanted_goes_before_what_is_asked_ahead():
    with paraphrasing(rewrites, latency_seconds=0.2, concurrency=2) as (server, bench):
        ahead = requests(10)
        wanted = [ParaphraseRequest("wanted", "wanted now", 2, 0)]
        bench.paraphraser.prefetch(ahead)
        bench.paraphraser.prefetch([ParaphraseRequest("soon", "wanted soon", 2, 0)], soon=True)
        bench.paraphraser.paraphrase(wanted)
        bench.paraphraser.paraphrase(ahead)
        texts = [asked.messages[-1]["content"] for asked in server.asked]
    assert len(texts) == 12
    places = [next(place for place, text in enumerate(texts) if each in text) for each in ("wanted soon", "wanted now")]
    assert all(place <= 5 for place in places)  # 2 are under way by then, and 2 may have got in line to be kept


def test_a_turnstile_lets_the_next_in_where_one_gave_up():
    entered: list[str] = []

    async def enter(semaphore: PrioritySemaphore, name: str, *, ahead: bool) -> None:
        async with semaphore.acquired(ahead=ahead):
            entered.append(name)

    async def crowd() -> None:
        semaphore = PrioritySemaphore(1)
        async with semaphore.acquired(ahead=False):
            names = [("ahead", True), ("ahead too", True), ("gave up", False), ("now", False)]
            tasks = {name: asyncio.create_task(enter(semaphore, name, ahead=ahead)) for name, ahead in names}
            await asyncio.sleep(0)
            tasks["gave up"].cancel()
            await asyncio.sleep(0)
        await asyncio.wait(tasks.values())
        async with asyncio.timeout(1), semaphore.acquired(ahead=True):
            entered.append("last")

    asyncio.run(crowd())
    assert entered == ["now", "ahead", "ahead too", "last"]


def test_what_was_inside_before_goes_before_what_was_not_and_stays_behind_what_is_wanted():
    entered: list[str] = []

    async def enter(semaphore: PrioritySemaphore, name: str, **kind: bool) -> None:
        async with semaphore.acquired(**kind):
            entered.append(name)

    async def crowd() -> None:
        semaphore = PrioritySemaphore(1)
        async with asyncio.TaskGroup() as tasks, semaphore.acquired(ahead=False):
            tasks.create_task(enter(semaphore, "ahead", ahead=True, begun=False))
            tasks.create_task(enter(semaphore, "ahead again", ahead=True, begun=True))
            tasks.create_task(enter(semaphore, "now", ahead=False, begun=False))
            tasks.create_task(enter(semaphore, "now again", ahead=False, begun=True))
            await asyncio.sleep(0)

    asyncio.run(crowd())
    assert entered == ["now again", "now", "ahead again", "ahead"]


def test_while_a_request_waits_to_be_sent_again_others_are_sent():
    def broken_once(asked: Asked) -> Answer:
        is_broken = asked.attempt == 0 and "number 0" in asked.text
        return Answer("oh no", status=500) if is_broken else rewrites(asked)

    with paraphrasing(broken_once, concurrency=1, first_wait_seconds=2.0) as (server, bench):
        answers = bench.paraphraser.paraphrase(requests(6))
        assert all(each.candidates for each in answers)
        assert [asked.text[-1] for asked in server.asked] == ["0", "1", "2", "3", "4", "5", "0"]
        assert server.most_at_once == 1
        assert sum(each.attempts for each in bench.store.chat.all()) == len(server.asked)


def test_no_more_requests_are_begun_than_a_kill_may_lose():
    def broken_at_first(asked: Asked) -> Answer:
        return Answer("oh no", status=500) if asked.attempt == 0 else rewrites(asked)

    with paraphrasing(broken_at_first, concurrency=2, first_wait_seconds=1.0) as (server, bench):
        assert all(each.candidates for each in bench.paraphraser.paraphrase(requests(8)))
        attempts = [asked.attempt for asked in server.asked]
    assert attempts[:5] == [0, 0, 0, 0, 1], "the fifth request waits until one of the first is kept"
    assert sorted(attempts) == [0] * 8 + [1] * 8


def test_requests_are_spaced_evenly_under_a_rate():
    with paraphrasing(rewrites, requests_per_minute=600) as (_, bench):
        began = time.monotonic()
        bench.paraphraser.paraphrase(requests(12))
        assert time.monotonic() - began >= 11 * 0.1


def test_retry_after_is_obeyed_by_all():
    moments: list[float] = []

    def busy_once(asked: Asked) -> Answer:
        moments.append(time.monotonic())
        busy = len(moments) == 1
        return Answer("slow down", status=429, headers={"Retry-After": "1"}) if busy else rewrites(asked)

    with paraphrasing(busy_once, concurrency=1) as (server, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert answer.candidates
        assert moments[1] - moments[0] >= 1.0
        (kept,) = bench.store.chat.all()
        assert kept.attempts == len(server.asked) == 2


def test_retry_after_is_read_in_all_its_forms():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for given, expected in (
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:07 GMT"}, 7.0),
        ({"retry-after": "Wed, 31 Dec 2025 23:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ):
        assert retry_after(httpx2.Headers(given), now) == expected


@pytest.mark.parametrize("status", [400, 409, 413, 418, 422])
def test_other_refusals_are_not_sent_again(status):
    with paraphrasing(lambda _: Answer("too long a context", status=status), structured="off") as (server, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert answer.candidates == ()
        assert f"refused the request ({status}: too long a context)" in answer.failure
        assert not answer.retryable
        assert len(server.asked) == 1
        assert bench.paraphraser.paraphrase(requests(1)) == [answer]
        assert len(server.asked) == 1, "a refusal is an answer"


@pytest.mark.parametrize(("status", "words"), [(401, "wants a key"), (403, "wants a key"), (404, "no model 'tiny'")])
def test_what_stands_in_the_way_of_everything_ends_the_work(status, words):
    with paraphrasing(lambda _: Answer("no", status=status)) as (server, bench):
        with pytest.raises(GenerationError, match=words):
            bench.paraphraser.paraphrase(requests(20))
        assert len(server.asked) <= 8
        assert bench.store.chat.all() == []


def test_a_server_that_waited_too_long_is_asked_again():
    late = Answer("too slow", status=408)
    with paraphrasing(lambda asked: late if asked.attempt == 0 else rewrites(asked)) as (server, bench):
        assert all(each.candidates for each in bench.paraphraser.paraphrase(requests(3)))
        assert len(server.asked) == 6


def test_a_server_that_wants_to_be_paid_is_not_asked_again_now():
    with paraphrasing(lambda _: Answer("no credits left", status=402)) as (server, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert "wants to be paid first (402: no credits left)" in answer.failure
        assert answer.retryable
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 403])
def test_texts_that_a_server_refuses_stop_no_others(status, monkeypatch):
    """As moderation does; a server that has answered is well, however many it refuses in a row."""
    monkeypatch.setenv("MARS_CHAT_API_KEY", "sk-test")

    def moderating(asked: Asked) -> Answer:
        refused = "number 0" not in asked.text and "number 19" not in asked.text
        return Answer("flagged by moderation", status=status) if refused else rewrites(asked)

    with paraphrasing(moderating, structured="off", concurrency=1, breaker=5) as (server, bench):
        answers = bench.paraphraser.paraphrase(requests(20))
    assert [bool(each.candidates) for each in answers] == [True, *[False] * 18, True]
    assert all("flagged by moderation" in each.failure for each in answers[1:-1])
    assert len(server.asked) == 20


def test_where_everything_is_refused_the_breaker_opens():
    with paraphrasing(lambda _: Answer("no", status=400), structured="off", breaker=3, concurrency=1) as (
        server,
        bench,
    ):
        answers = bench.paraphraser.paraphrase(requests(10))
    assert len(server.asked) == 3
    assert all(each.failure for each in answers)


def test_what_may_be_billed_without_an_answer_counts_in_the_next_run_too():
    def late_once(asked: Asked) -> Answer:
        return replace(rewrites(asked), hang_seconds=3.0) if asked.attempt == 0 else rewrites(asked)

    prices = {"input_price": 1000.0, "output_price": 1000.0}
    with paraphrasing(late_once, timeout_seconds=1.0, retries=1, max_tokens=100, **prices) as (_, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert answer.candidates
        (kept,) = bench.store.chat.all()
        spent = bench.store.chat.spent()
    assert kept.output_tokens > 100, "what the request without an answer may have cost at worst, and the answer"
    assert spent.cost == kept.cost == pytest.approx((kept.input_tokens + kept.output_tokens) / 1000)


LOOKS = "mars_engine.augment.generators.chat.limits.SECONDS_BETWEEN_LOOKS"


def test_what_another_process_spends_of_the_budget_counts_as_soon_as_it_is_seen(monkeypatch):
    monkeypatch.setattr(LOOKS, 0.0)
    with paraphrasing(rewrites, max_requests=20) as (server, bench):
        assert all(each.candidates for each in bench.paraphraser.paraphrase(requests(3)))
        bench.store.chat.keep([an_answer(source_id="of another process", attempts=14)])
        answers = bench.paraphraser.paraphrase(requests(13))
        assert sum(bool(each.candidates) for each in answers) == 3 + 3
        assert "the budget of 20 requests" in answers[-1].failure
        assert len(server.asked) == 6
        assert bench.store.chat.spent().requests == 20


def test_looking_at_what_others_spend_counts_nothing_twice(monkeypatch):
    monkeypatch.setattr(LOOKS, 0.0)

    def broken_at_first(asked: Asked) -> Answer:
        return Answer("oh no", status=500) if asked.attempt < 3 and "0" in asked.text else rewrites(asked)

    with paraphrasing(broken_at_first, max_requests=45, retries=1, breaker=1000) as (server, bench):
        first = bench.paraphraser.paraphrase(requests(30))
        assert sum(not each.candidates for each in first) == 3
        assert len(server.asked) == 27 + 2 * 3
        second = bench.paraphraser.paraphrase(requests(60))
        assert len(server.asked) == bench.store.chat.spent().requests == 45
        assert all(not each.failure or "the budget of 45 requests" in each.failure for each in second)


def test_two_at_a_time_keep_to_one_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(LOOKS, 0.05)
    with serving(rewrites, latency_seconds=0.05) as server:
        config = chat_config(server.base_url, chat=QUICK.model_copy(update={"max_requests": 60, "concurrency": 2}))
        url = f"sqlite:///{tmp_path / 'mars.sqlite'}"
        with chat_bench(config, url=url) as one, chat_bench(config, url=url) as other, ThreadPoolExecutor() as pool:
            mine, yours = requests(60), [replace(each, text=f"other {each.text}") for each in requests(60)]
            list(pool.map(lambda each: each[0].paraphraser.paraphrase(each[1]), ((one, mine), (other, yours))))
            assert one.store.chat.spent().requests == len(server.asked)
    assert 60 <= len(server.asked) <= 60 + 2 * 2 + 8, "what the other has begun, and was answered since the last look"


@pytest.mark.parametrize(("budget", "looks"), [(0, 0), (1000, 1)])
def test_what_others_spend_is_looked_at_now_and_then_where_there_is_a_budget(budget, looks, monkeypatch):
    monkeypatch.setattr(LOOKS, 3600.0)
    looked: list[Spending] = []

    def spent() -> Spending:
        looked.append(Spending())
        return looked[-1]

    with paraphrasing(rewrites) as (server, bench):
        bench.paraphraser.correspondence.open_backend = lambda: ChatServer(
            QUICK.model_copy(update={"base_url": server.base_url, "max_requests": budget}),
            key="",
            keep=bench.store.chat.keep,
            spent=spent,
            rng=np.random.default_rng(0),
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )
        assert all(each.candidates for each in bench.paraphraser.paraphrase(requests(30)))
    assert len(looked) == looks


def test_after_they_were_held_back_requests_leave_one_after_another():
    async def moments() -> list[float]:
        rate, loop = RateLimiter(1200), asyncio.get_running_loop()
        began = loop.time()
        rate.hold(0.2)

        async def leave() -> float:
            await rate.turn()
            return loop.time() - began

        return sorted(await asyncio.gather(*(leave() for _ in range(4))))

    left = asyncio.run(moments())
    assert left[0] >= 0.2
    assert all(later - earlier >= 0.045 for earlier, later in itertools.pairwise(left))


@pytest.mark.parametrize("key", ["schlüssel", "sk test"])
def test_a_key_that_is_none_is_refused_in_plain_words(key, monkeypatch):
    monkeypatch.setenv("MARS_CHAT_API_KEY", key)
    with paraphrasing(rewrites) as (server, bench):
        with pytest.raises(ConfigError, match="MARS_CHAT_API_KEY") as raised:
            bench.paraphraser.paraphrase(requests(1))
        assert key not in str(raised.value)
        assert server.asked == []


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_that_does_not_show_its_text_is_refused(name, tmp_path):
    (tmp_path / f"{name}.txt").write_text("[user]\nSay it in other words.\n")
    with pytest.raises(ConfigError, match="does not show the model what it is about"):
        load_prompt(name, tmp_path).messages(
            prompt=(), text="t", chosen="c", rejected="r", first="1", second="2", count=1
        )


def test_a_quota_that_is_used_up_is_not_asked_again_now():
    body = json.dumps({"error": {"message": "pay first", "code": "insufficient_quota"}}).encode()
    with paraphrasing(lambda _: Answer(status=429, body=body)) as (server, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert "quota is used up" in answer.failure
        assert answer.retryable
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("refused", "words", "kept"),
    [
        ("response_format", "'response_format.type' must be 'text'", "seed"),
        ("seed", "extra fields not permitted: seed", "response_format"),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "seed"),
    ],
)
def test_what_a_server_does_not_take_is_left_out_from_then_on(refused, words, kept):
    def particular(asked: Asked) -> Answer:
        return Answer(words, status=400) if refused in asked.body else rewrites(asked)

    with paraphrasing(particular, concurrency=1) as (server, bench):
        assert all(each.candidates for each in bench.paraphraser.paraphrase(requests(5)))
        assert [refused in asked.body for asked in server.asked] == [True, *[False] * 5]
        assert all(kept in asked.body for asked in server.asked)
        assert ("max_completion_tokens" in server.asked[-1].body) == (refused == "max_tokens")
        assert sum(each.attempts for each in bench.store.chat.all()) == len(server.asked)


def test_a_refusal_for_another_reason_teaches_nothing():
    def too_long(asked: Asked) -> Answer:
        return Answer("the context is too long", status=400) if "number 0" in asked.text else rewrites(asked)

    with paraphrasing(too_long, concurrency=1) as (server, bench):
        first, *others = bench.paraphraser.paraphrase(requests(3))
        assert "the context is too long" in first.failure
        assert all(each.candidates for each in others)
        assert "response_format" in server.asked[-1].body


def test_a_schema_that_must_be_is_not_given_up():
    with paraphrasing(lambda _: Answer("no response_format", status=400), structured="on") as (server, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert "no response_format" in answer.failure
        assert all("response_format" in asked.body for asked in server.asked)


def test_an_answer_that_is_no_completion_or_breaks_off_is_asked_for_again():
    def garbled(asked: Asked) -> Answer:
        bodies = [b"<html>oops</html>", b'{"choices": []}']
        return Answer(body=bodies[asked.attempt]) if asked.attempt < 2 else rewrites(asked)

    with paraphrasing(garbled) as (server, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert answer.candidates
        assert len(server.asked) == 3


def down_from(first: int, count: int, status: int = 503):
    """A script: well but for so many requests in a row."""
    seen = itertools.count()

    def script(asked: Asked) -> Answer:
        return Answer("restarting", status=status) if first <= next(seen) < first + count else rewrites(asked)

    return script


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_short_outage_costs_what_opened_the_breaker_and_the_trials_that_failed(concurrency):
    began: list[float] = []

    def down_for_a_second(asked: Asked) -> Answer:
        if len(server.asked) > 20 and not began:
            began.append(time.monotonic())
        is_down = began and time.monotonic() - began[0] < 1.0
        return Answer("restarting", status=503) if is_down else rewrites(asked)

    outage = {"retries": 1, "breaker": 3, "breaker_wait_seconds": 60.0, "first_wait_seconds": 0.05}
    with paraphrasing(down_for_a_second, concurrency=concurrency, **outage) as (server, bench):
        answers = bench.paraphraser.paraphrase(requests(100))
        assert time.monotonic() - began[0] < 30
        failed = [each for each in answers if not each.candidates]
        kept = bench.store.chat.all()
        trials = 4  # 0.1, 0.3, 0.7 and 1.5 seconds after it opened
        assert 3 <= len(failed) <= 3 + trials
        assert all("the server failed (503: restarting)" in each.failure and each.retryable for each in failed)
        assert sum(each.attempts for each in kept) == len(server.asked)
        assert len(kept) == 100
        again = bench.paraphraser.paraphrase(requests(100))
        assert all(each.candidates for each in again)
    assert max(server.answered.values()) == 1


def test_in_an_outage_one_request_at_a_time_is_tried():
    moments: list[float] = []

    def down_after_the_first(asked: Asked) -> Answer:
        moments.append(time.monotonic())
        return rewrites(asked) if len(moments) == 1 else Answer("down", status=503)

    waits = {"retries": 0, "breaker": 1, "breaker_wait_seconds": 2.0, "first_wait_seconds": 0.2}
    with paraphrasing(down_after_the_first, concurrency=1, **waits) as (server, bench):
        began = time.monotonic()
        answers = bench.paraphraser.paraphrase(requests(50))
        assert 2.0 <= time.monotonic() - began < 10
        assert server.most_at_once == 1
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments[1:])]
    assert len(gaps) == 4
    assert all(gap >= cool_down for gap, cool_down in zip(gaps, (0.2, 0.4, 0.8, 0.3), strict=True))
    assert sum(bool(each.candidates) for each in answers) == 1
    unasked = [each.failure for each in answers if "not asked" in each.failure]
    assert len(unasked) == 50 - 1 - 5
    assert set(unasked) == {
        "not asked: 1 requests in a row and trials for 2 s had failed, the last because the server failed (503: down)"
    }
    assert all(each.retryable for each in answers if each.failure)


def test_no_server_is_waited_for_where_that_is_not_wanted_or_cannot_help():
    for status, waits, words in ((503, 0.0, "503"), (402, 600.0, "402")):
        outage = {"retries": 0, "breaker": 2, "breaker_wait_seconds": waits, "first_wait_seconds": 60.0}
        with paraphrasing(down_from(5, 1000, status), concurrency=1, **outage) as (server, bench):
            answers = bench.paraphraser.paraphrase(requests(20))
            assert sum(bool(each.candidates) for each in answers) == 5
            assert len(server.asked) == 5 + 2
            assert "not asked: 2 requests in a row had failed" in answers[-1].failure
            assert words in answers[-1].failure


def test_that_a_server_is_waited_for_is_shown(monkeypatch):
    monkeypatch.setattr("mars_engine.core.progress.SECONDS_BETWEEN_LINES", 0.0)
    shown = io.StringIO()
    outage = {"retries": 0, "breaker": 1, "breaker_wait_seconds": 120.0, "first_wait_seconds": 3.0}
    with paraphrasing(down_from(3, 1), concurrency=1, **outage) as (_, bench):
        bench.paraphraser.correspondence.progress = PlainProgress(shown)
        answers = bench.paraphraser.paraphrase(requests(10))
    assert sum(bool(each.candidates) for each in answers) == 9
    waiting = r"waiting for the chat server in seconds \(the server failed \(503: restarting\)\): [1-9]\d* of 120"
    assert re.search(waiting, shown.getvalue()), shown.getvalue()


def test_work_that_is_ended_in_an_outage_ends_at_once():
    outage = {"retries": 2, "breaker": 1, "breaker_wait_seconds": 600.0, "first_wait_seconds": 0.01}
    with paraphrasing(down_from(1, 1000), concurrency=2, **outage) as (server, bench):
        bench.paraphraser.prefetch(requests(20))
        backend = bench.paraphraser.correspondence._backend
        until(lambda: backend.outage)
        began = time.monotonic()
        bench.paraphraser.correspondence.close()
        assert time.monotonic() - began < 5
        assert sum(each.attempts for each in bench.store.chat.all()) == len(server.asked)


def test_a_server_that_is_not_there_is_said_plainly():
    config = chat_config("http://127.0.0.1:9/v1", chat=QUICK.model_copy(update={"retries": 1, "breaker": 2}))
    with chat_bench(config) as bench:
        answers = bench.paraphraser.paraphrase(requests(30))
        assert all(each.retryable and not each.candidates for each in answers)
        assert any("the connection failed" in each.failure for each in answers)
        assert any("not asked: 2 requests in a row had failed" in each.failure for each in answers)


def test_no_key_is_sent_where_none_is_set_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "meant for another server")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another-server")
    with paraphrasing(rewrites) as (server, bench):
        bench.paraphraser.paraphrase(requests(1))
        headers = server.asked[0].headers
        assert "authorization" not in headers
        assert not any("another" in value for value in headers.values())


def test_many_rewrites_are_asked_for_in_parts():
    with paraphrasing(rewrites, candidates=2) as (server, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1, candidates=5))
        assert [asked.count for asked in server.asked] in ([2, 2, 1], [2, 1, 2], [1, 2, 2])
        assert len({asked.body["seed"] for asked in server.asked}) == 3
        assert answer.candidates == ("text number 0 in other words 1", "text number 0 in other words 2")
        assert "only 2 of 5 rewrites differ" in answer.failure


def test_no_temperature_leaves_the_sampling_to_the_server():
    with paraphrasing(rewrites, temperature=-1.0) as (server, bench):
        bench.paraphraser.paraphrase(requests(1))
        assert not {"temperature", "top_p"} & server.asked[0].body.keys()


def test_answers_that_cannot_be_read_count_at_worst_for_a_budget_of_tokens():
    def broken_off(_asked: Asked) -> Answer:
        return Answer(body=b'{"choices": [{"mess', headers={"Connection": "close"})

    with paraphrasing(broken_off, max_total_tokens=20_000, retries=20, breaker=1000, concurrency=1) as (server, bench):
        answers = bench.paraphraser.paraphrase(requests(20))
        assert "the budget of 20,000 tokens" in answers[-1].failure
        spent = bench.store.chat.spent()
        assert spent.requests == len(server.asked) < 20
        assert 0 < spent.tokens <= 20_000


def test_an_answer_withheld_says_why():
    def withheld(_asked: Asked) -> Answer:
        choice = {"message": {"content": None, "refusal": "No."}, "finish_reason": "content_filter"}
        return Answer(body=json.dumps({"choices": [choice]}).encode())

    with paraphrasing(withheld) as (_, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert answer.failure == "the model refused: No."


def test_a_key_too_short_to_be_a_secret_changes_no_text(monkeypatch):
    monkeypatch.setenv("MARS_CHAT_API_KEY", "o")
    with paraphrasing(rewrites) as (_, bench):
        (answer,) = bench.paraphraser.paraphrase(requests(1))
        assert answer.candidates[0] == "text number 0 in other words 1"


def test_the_estimate_says_that_answers_about_long_texts_may_be_cut_off():
    with paraphrasing(rewrites, candidates=5) as (_, bench):
        long, short = (ParaphraseRequest(text[:9], text, 5, 0) for text in ("word " * 400, "a short text"))
        estimate = bench.paraphraser.estimate([long, short])
        assert (estimate.requests, estimate.too_long) == (2, 1)
    said = forecast_lines(GenerationForecast(1, estimate, estimate, GenerationEstimate(), Spending()), QUICK)
    assert any("1 of these are for long texts" in line and "chat.max_tokens" in line for line in said)


def test_without_a_model_nothing_is_asked():
    with paraphrasing(rewrites, model="") as (server, bench):
        with pytest.raises(ConfigError, match=r"set 'model' under \[chat\]"):
            bench.paraphraser.paraphrase(requests(1))
        assert server.asked == []


def test_what_is_kept_tells_the_whole_request_and_its_answer():
    with paraphrasing(rewrites, input_price=2.0, output_price=8.0) as (server, bench):
        request = replace(requests(1)[0], source_id="the pair")
        bench.paraphraser.paraphrase([request])
        (kept,) = bench.store.chat.all()
        assert kept.source_id == "the pair"
        assert (kept.purpose, kept.model, kept.asking, kept.attempts) == ("paraphrase", "tiny", 0, 1)
        assert kept.server == server.base_url.removesuffix("/v1")
        assert [turn.content for turn in kept.messages] == [each["content"] for each in server.asked[0].messages]
        assert kept.answer == rewrites(server.asked[0]).content
        assert kept.input_tokens == 100
        assert kept.cost == pytest.approx((100 * 2 + kept.output_tokens * 8) / 1e6)
        assert kept.seconds > 0
        assert kept.template == load_prompt("paraphrase").label


# ---------------------------------------------------------------------------------------------------------- prompts


def test_ones_own_prompt_takes_the_packaged_ones_place_and_changes_the_card(tmp_path):
    config = chat_config("http://127.0.0.1:9/v1")
    with chat_bench(config, root=tmp_path) as bench:
        before = bench.paraphraser.card, bench.refiner.card
    own = copy_prompt("paraphrase", tmp_path / "prompts")
    assert load_prompt("paraphrase", tmp_path / "prompts").is_own
    with chat_bench(config, root=tmp_path) as bench:
        assert (bench.paraphraser.card, bench.refiner.card) == before, "the same words are the same prompt"
    own.write_text(own.read_text() + "\n", encoding="utf-8")
    with chat_bench(config, root=tmp_path) as bench:
        assert bench.paraphraser.card.fingerprint != before[0].fingerprint
        assert bench.refiner.card == before[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_packaged_prompt_has_a_version_and_two_messages(name):
    prompt = load_prompt(name)
    assert prompt.version == "1"
    turns = prompt.messages(
        text="t", prompt=(Turn("user", "q"),), chosen="c", rejected="r", first="1", second="2", count=3
    )
    assert [turn.role for turn in turns] == ["system", "user"]
    assert all(turn.content.strip() for turn in turns)


@pytest.mark.parametrize(
    "text", ["no message at all", "[user]\n{{ unheard_of }}", "[user]\n{% for %}", "[user]\n{{ 1 / 0 }}"]
)
def test_a_prompt_that_cannot_be_used_says_where(tmp_path, text):
    (tmp_path / "paraphrase.txt").write_text(text)
    with pytest.raises(ConfigError, match=r"paraphrase\.txt"):
        load_prompt("paraphrase", tmp_path).messages(text="t", count=1)


# ------------------------------------------------------------------------------------------------------ interruptions


def test_an_answer_that_has_come_is_written_even_when_the_work_is_cancelled(monkeypatch):
    come, all_have_come, keep = [], threading.Event(), AnswerWriter.keep

    async def keep_noting(self, answer, spent):
        come.append(answer)
        if len(come) == 3:
            all_have_come.set()
        await keep(self, answer, spent)

    monkeypatch.setattr(AnswerWriter, "keep", keep_noting)
    with serving(rewrites) as server:
        config = chat_config(server.base_url)
        with chat_bench(config) as bench:
            store, slow = bench.store.chat, bench.paraphraser.correspondence

            def keep_slowly(answers):
                assert all_have_come.wait(20)
                time.sleep(0.5)
                store.keep(answers)

            slow.open_backend = lambda: ChatServer(
                config.chat,
                key="",
                keep=keep_slowly,
                spent=Spending,
                rng=np.random.default_rng(0),
                clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            )
            bench.paraphraser.prefetch(requests(3))
            assert all_have_come.wait(20)
            slow.close()
            assert len(store.all()) == 3


def test_a_request_that_waits_to_be_sent_again_leaves_its_attempts_when_the_work_is_ended():
    def broken(asked: Asked) -> Answer:
        return Answer("oh no", status=500) if "number 0" in asked.text else rewrites(asked)

    with paraphrasing(broken, concurrency=1, first_wait_seconds=60.0) as (server, bench):
        bench.paraphraser.prefetch(requests(2))
        until(lambda: server.answered)
        began = time.monotonic()
        bench.paraphraser.correspondence.close()
        assert time.monotonic() - began < 10
        failed, answered = sorted(bench.store.chat.all(), key=lambda kept: kept.failure, reverse=True)
        assert answered.answer is not None
        assert failed.failure == "the server failed (500: oh no); then the work was ended"
        assert (failed.attempts, failed.is_settled) == (1, False)


def test_a_database_that_refuses_ends_the_work_with_its_words():
    def refuse(_answers):
        raise StoreError("the disk is full")

    with paraphrasing(rewrites) as (server, bench):
        bench.paraphraser.correspondence.open_backend = lambda: ChatServer(
            QUICK.model_copy(update={"base_url": server.base_url}),
            key="",
            keep=refuse,
            spent=Spending,
            rng=np.random.default_rng(0),
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )
        with pytest.raises(StoreError, match="the disk is full"):
            bench.paraphraser.paraphrase(requests(5))
