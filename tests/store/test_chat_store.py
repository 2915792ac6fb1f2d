"""The table of requests to chat models and their answers, on SQLite and, where a server is named, PostgreSQL."""

from dataclasses import replace

import pytest
from chat_tools import an_answer

from mars_engine.core.chat_records import Spending
from mars_engine.store import open_store
from mars_engine.store.database import is_storable, storable


@pytest.fixture
def store(shared_url):
    opened = open_store(shared_url)
    yield opened
    opened.close()


def failure(**changes):
    return an_answer(answer=None, finish_reason="", failure="down", retryable=True, attempts=3, **changes)


def test_what_was_kept_is_given_back_exactly(store):
    answers = [an_answer(source_id="a"), failure(source_id="b"), an_answer(source_id="c", parameters={})]
    store.chat.keep(answers)
    assert sorted(store.chat.all(), key=lambda each: each.source_id) == answers
    ids = [each.request_id for each in answers]
    assert store.chat.newest([*ids, "unknown"]) == dict(zip(ids, answers, strict=True))
    assert store.chat.settled([*ids, "unknown"]) == {ids[0], ids[2]}


def test_what_no_database_takes_is_replaced_and_nothing_else(store):
    odd = "half \ud83d, whole 😀, NUL \0."
    assert [is_storable(each) for each in ("half \ud83d", "NUL \0", "whole 😀")] == [False, False, True]
    kept = an_answer(answer=storable(odd))
    assert kept.answer == "half ?, whole 😀, NUL \ufffd."
    assert is_storable(kept.answer)
    store.chat.keep([kept])
    assert store.chat.all() == [kept]


def test_an_answer_takes_the_place_of_the_failure_before_it(store):
    store.chat.keep([failure()])
    answered = an_answer(attempts=4)
    store.chat.keep([answered])
    assert store.chat.all() == [answered]


def test_what_was_asked_anew_stands_beside_and_the_newest_counts(store):
    first, second = an_answer(answer="bad"), an_answer(asking=1, answer="good")
    store.chat.keep([second, first])
    assert store.chat.newest([first.request_id]) == {first.request_id: second}
    assert len(store.chat.all()) == 2


def test_everything_is_spent_that_was_ever_asked(store):
    assert store.chat.spent() == Spending()
    store.chat.keep([an_answer(source_id="a"), an_answer(source_id="b"), failure(source_id="c")])
    assert store.chat.spent() == Spending(5, 36, 0.75)
    assert store.browse.revisions()["chat"] == 1


def test_removing_everything_removes_the_answers(store):
    store.chat.keep([an_answer()])
    store.removal.remove_everything()
    assert store.chat.all() == []


def test_what_is_written_out_does_not_take_the_place_of_an_answer_that_came_meanwhile(store):
    answered, waiting = an_answer(source_id="a"), failure(source_id="b")
    store.chat.keep([answered, waiting])
    written = [replace(each, answer=None, failure="written out", retryable=True) for each in (answered, waiting)]
    assert store.chat.keep_unless_settled(written) == {(waiting.request_id, 0)}
    assert store.chat.newest([answered.request_id, waiting.request_id]) == {
        answered.request_id: answered,
        waiting.request_id: written[1],
    }


def test_all_askings_are_given_in_their_order(store):
    first, second = an_answer(answer="bad"), an_answer(asking=1, answer="good")
    store.chat.keep([second, first])
    assert store.chat.askings([first.request_id, "unknown"]) == {first.request_id: [first, second]}
