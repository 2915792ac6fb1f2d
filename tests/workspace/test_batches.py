"""Proposing by a batch service: requests out, answers in, through the official client; nothing lost, counts add up."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from batch_service import BatchService, serving_batches
from chat_tools import QUICK, chat_bench, chat_config, planned
from scripted_chat import Answer, serving

from mars_engine.augment.generators.chat.batch import request_of
from mars_engine.augment.propose import make_proposals
from mars_engine.core.errors import ConfigError, LoadError, MarsError
from mars_engine.workspace.batches import write_requests
from mars_engine.workspace.generators import open_generators
from mars_engine.workspace.rewrites_elsewhere import AnswersReport, take_answers

NOWHERE = "http://127.0.0.1:1/v1"
PRICED = QUICK.model_copy(update={"input_price": 1.0, "output_price": 2.0})
PAIRS = 30
MISHAPS = {0: "lost", 1: "failed", 2: "twice", 3: "expired"}


def mishaps(number: int) -> str:
    """Four of ten requests of a batch go wrong, each in its way."""
    return MISHAPS.get(number % 10, "")


def answered_by(service: BatchService, requests: Path) -> list[Path]:
    """Send a file of requests through the official client as a person would; return the files that come back."""
    with openai.OpenAI(base_url=service.base_url, api_key="any") as client:
        with requests.open("rb") as stream:
            uploaded = client.files.create(file=stream, purpose="batch")
        batch = client.batches.create(
            input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        while batch.status != "completed":
            batch = client.batches.retrieve(batch.id)
        files = []
        for name in filter(None, (batch.output_file_id, batch.error_file_id)):
            files.append(requests.with_name(f"{name}.jsonl"))
            files[-1].write_bytes(client.files.content(name).content)
    return files


def lines_of(files: list[Path]) -> list[dict]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def texts_of(bench) -> set[tuple[str, str, str]]:
    return {(each.source_id, each.chosen, each.rejected) for each in bench.store.proposals.proposals()}


def check_sums(report: AnswersReport, files: list[Path]) -> None:
    assert report.given == len(lines_of(files)) == report.taken + len(report.unused)
    assert report.left_out == Counter(each.fate for each in report.unused)
    places = {(each.file, each.line) for each in report.unused}
    assert len(places) == len(report.unused), "each line is told once"
    assert all(each.reason for each in report.unused)


@pytest.mark.slow
def test_requests_out_answers_in_shuffled_some_lost_some_failed_some_twice(tmp_path):
    with serving_batches(mishaps) as service, chat_bench(chat_config(NOWHERE, chat=PRICED), pairs=PAIRS) as bench:
        plan = planned(bench)
        first = write_requests(bench, plan, tmp_path / "first.jsonl")
        sent = [each["custom_id"] for each in lines_of([tmp_path / "first.jsonl"])]
        assert first.requests == len(sent) > PAIRS
        assert first.written_before == 0
        assert sum(first.purposes.values()) == first.requests
        assert first.models == {"tiny": first.requests}
        assert bench.store.chat.spent().requests == 0, "nobody was asked"

        files = answered_by(service, tmp_path / "first.jsonl")
        fates = Counter(service.fates.values())
        assert all(fates[fate] for fate in MISHAPS.values())
        report = take_answers(bench, plan, files)
        check_sums(report, files)
        assert report.taken == fates[""] + fates["twice"]
        assert report.left_out == {"failed": fates["failed"] + fates["expired"], "twice": fates["twice"]}
        assert report.missing == fates["lost"]
        assert report.taken + report.left_out["failed"] + report.missing == len(sent)
        spent = bench.store.chat.spent()
        assert spent.tokens == 110 * report.taken
        assert spent.cost == pytest.approx(report.taken * (100 * 1.0 + 10 * 2.0) / 1e6)

        _check_the_same_again_adds_nothing(bench, plan, files)
        rounds = _rounds_until_nothing_is_left(bench, plan, service, tmp_path)
        assert rounds >= 2, "what was refined is paraphrased in a round of its own"
        assert set(Counter(service.answered).values()) == {1, 2}
        assert Counter(Counter(service.answered).values())[2] == fates["twice"], "nothing was asked twice"
        assert bench.store.proposals.failures() == []
        _check_it_is_what_a_server_gives(bench)


def _check_the_same_again_adds_nothing(bench, plan, files: list[Path]) -> None:
    before = _content(bench)
    report = take_answers(bench, plan, files)
    check_sums(report, files)
    assert report.taken == 0
    assert set(report.left_out) == {"taken before", "twice"}
    assert _content(bench) == before


def _content(bench) -> tuple:
    failures = Counter((each.source_id, each.target, each.reason) for each in bench.store.proposals.failures())
    return bench.store.chat.all(), texts_of(bench), failures


def _rounds_until_nothing_is_left(bench, plan, service: BatchService, folder: Path) -> int:
    """Write, send and take in what is left, without mishaps, until no request is; return how many rounds it took."""
    service.fate = lambda _: ""
    answered = set(service.answered)
    for number in range(10):
        file = folder / f"round-{number}.jsonl"
        report = write_requests(bench, plan, file)
        if report.path is None:
            assert not file.exists()
            return number
        assert not answered & {each["custom_id"] for each in lines_of([file])}, "what was answered is left out"
        taken = take_answers(bench, plan, answered_by(service, file))
        assert (taken.taken, taken.missing, taken.unused) == (report.requests, 0, ())
        answered.update(service.answered)
    raise AssertionError("there is no end")


def _check_it_is_what_a_server_gives(bench) -> None:
    with serving() as server, chat_bench(chat_config(server.base_url, chat=PRICED), pairs=PAIRS) as other:
        make_proposals(other, planned(other))
        assert texts_of(other) == texts_of(bench)
        asked = {each.request_id for each in other.store.chat.all()}
        assert asked == {each.request_id for each in bench.store.chat.all()}
        settings = {each.settings_id for each in other.store.proposals.proposals()}
        assert settings == {each.settings_id for each in bench.store.proposals.proposals()}


@pytest.mark.slow
def test_a_judge_is_asked_by_the_batch_too_when_there_is_something_to_judge(tmp_path):
    with serving_batches() as service, chat_bench(chat_config(NOWHERE, judge=True), pairs=12) as bench:
        plan = planned(bench)
        purposes: Counter[str] = Counter()
        for number in range(10):
            report = write_requests(bench, plan, tmp_path / f"{number}.jsonl")
            if report.path is None:
                break
            purposes.update(report.purposes)
            take_answers(bench, plan, answered_by(service, report.path))
        assert purposes["judge"] > 0
        assert bench.store.proposals.failures() == []


def test_lines_that_cannot_be_used_are_told_with_their_number_and_reason(tmp_path):
    with serving_batches() as service, chat_bench(chat_config(NOWHERE), pairs=6) as bench:
        plan = planned(bench)
        write_requests(bench, plan, tmp_path / "out.jsonl")
        good = lines_of(answered_by(service, tmp_path / "out.jsonl"))
        refused = {"status_code": 400, "body": {"error": {"message": "bad words"}}}
        nothing = {"status_code": 200, "body": {"choices": []}}
        chatter = {"status_code": 200, "body": {"choices": [{"message": {"content": "I would rather not."}}]}}
        lines = [
            json.dumps(good[0] | {"response": refused}),
            "no JSON",
            json.dumps(good[1] | {"custom_id": "of another workspace"}),
            json.dumps(good[2] | {"response": nothing}),
            json.dumps(good[3] | {"response": chatter}),
            json.dumps(good[4]),
            "",
            json.dumps(good[4]),
            json.dumps({"custom_id": good[5]["custom_id"]}),
            json.dumps({"custom_id": "\ud800-0"}),
            json.dumps({"custom_id": f"abc-{'9' * 5_000}"}),
        ]
        answers = tmp_path / "in.jsonl"
        answers.write_text("\n".join(lines))
        report = take_answers(bench, plan, [answers])
        assert [(each.line, each.fate) for each in report.unused] == [
            (1, "failed"),
            (2, "unreadable"),
            (3, "unknown"),
            (4, "unreadable"),
            (5, "unusable"),
            (8, "twice"),
            (9, "unreadable"),
            (10, "unknown"),
            (11, "unknown"),
        ]
        reasons = {each.line: each.reason for each in report.unused}
        assert "400: bad words" in reasons[1]
        assert "'of another workspace'" in reasons[3]
        assert "line 6" in reasons[8]
        assert (report.given, report.taken) == (10, 1)
        assert report.missing == len(good) - 3, "one was refused, one is useless, one is taken"
        again = write_requests(bench, plan, tmp_path / "again.jsonl")
        asked = {each["custom_id"] for each in lines_of([tmp_path / "again.jsonl"])}
        settled = {good[place]["custom_id"] for place in (0, 3, 4)}
        assert not asked & settled, "refused, answered badly, answered"
        anew = write_requests(bench, plan, tmp_path / "anew.jsonl", retry="all")
        assert anew.requests > again.requests
        asked_anew = {each["custom_id"] for each in lines_of([tmp_path / "anew.jsonl"])}
        request_id, _ = request_of(good[0]["custom_id"])
        assert f"{request_id}-1" in asked_anew, "what was refused is asked anew, under an id of its own"


def test_an_answer_to_what_other_settings_asked_is_kept_and_told(tmp_path):
    with serving_batches() as service, chat_bench(chat_config(NOWHERE), pairs=6) as bench:
        plan = planned(bench)
        write_requests(bench, plan, tmp_path / "out.jsonl")
        files = answered_by(service, tmp_path / "out.jsonl")
        other = chat_config(NOWHERE, chat=QUICK.model_copy(update={"model": "another"}))
        with open_generators(
            tmp_path, other, bench.encoder, bench.store.chat, progress=bench.progress, clock=bench.clock
        ) as made:
            changed = replace(bench, config=other, paraphraser=made.paraphraser, refiner=made.refiner)
            report = take_answers(changed, plan, files)
        check_sums(report, files)
        assert report.taken == 0
        assert report.left_out == {"not asked for": len(lines_of(files))}
        assert report.to_ask > 0
        assert report.missing == 0
        again = take_answers(bench, plan, files)
        assert again.left_out == {"taken before": len(lines_of(files))}
        assert again.proposed["the chat model tiny"].proposals > 0, "under the first settings they are of use"


def test_a_useless_answer_is_kept_and_not_asked_for_again(tmp_path):
    with serving_batches(script=lambda _: Answer("no")) as service, chat_bench(chat_config(NOWHERE), pairs=4) as bench:
        plan = planned(bench)
        for number in range(10):
            report = write_requests(bench, plan, tmp_path / f"{number}.jsonl")
            if report.path is None:
                break
            take_answers(bench, plan, answered_by(service, report.path))
        assert report.path is None
        assert set(Counter(service.answered).values()) == {1}
        assert bench.store.proposals.proposals() == []
        assert not any(each.retryable for each in bench.store.proposals.failures())


def test_the_bodies_are_those_that_a_server_gets(tmp_path):
    with serving() as server, chat_bench(chat_config(server.base_url), pairs=6) as bench:
        plan = planned(bench)
        write_requests(bench, plan, tmp_path / "out.jsonl")
        bodies = [each["body"] for each in lines_of([tmp_path / "out.jsonl"])]
        make_proposals(bench, plan, retry="retryable")
        sent = [asked.body for asked in server.asked]
        for body in bodies:
            body["max_tokens"] = body.pop("max_completion_tokens")
            assert body in sent


def test_what_is_no_answer_file_is_refused_and_nothing_is_kept(tmp_path):
    with chat_bench(chat_config(NOWHERE), pairs=4) as bench:
        plan = planned(bench)
        (tmp_path / "letter.jsonl").write_text("Dear all,\nhere are the answers.\n")
        with pytest.raises(LoadError, match="line 1"):
            take_answers(bench, plan, [tmp_path / "letter.jsonl"])
        (tmp_path / "empty.jsonl").write_text("\n")
        with pytest.raises(LoadError, match="empty"):
            take_answers(bench, plan, [tmp_path / "empty.jsonl"])
        with pytest.raises(LoadError):
            take_answers(bench, plan, [tmp_path / "absent.jsonl"])
        assert bench.store.chat.all() == []


def test_where_no_chat_model_writes_there_are_no_requests(tmp_path):
    config = chat_config(NOWHERE, paraphraser="rules", refiner="extractive")
    with chat_bench(config, pairs=4) as bench, pytest.raises(ConfigError, match="no requests"):
        write_requests(bench, planned(bench), tmp_path / "out.jsonl")


def test_a_file_that_is_there_stays_as_it_was(tmp_path):
    with chat_bench(chat_config(NOWHERE), pairs=4) as bench:
        plan = planned(bench)
        (tmp_path / "out.jsonl").write_text("mine")
        with pytest.raises(MarsError, match="exists already"):
            write_requests(bench, plan, tmp_path / "out.jsonl")
        assert (tmp_path / "out.jsonl").read_text() == "mine"
        assert bench.store.chat.all() == []
        write_requests(bench, plan, tmp_path / "out.jsonl", overwrite=True)
        assert lines_of([tmp_path / "out.jsonl"])
