"""Files of several answers to a prompt, in the layouts that people keep them in."""

import gzip
import json

import pytest

from mars_engine.align.answers import EMPTY_ANSWER, Answer, load_recorded_answers
from mars_engine.core.errors import LoadError


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_models_answers_with_preferences(tmp_path):
    responses = [{"model": "m", "text": "one", "preference": 1.5}, {"model": "n", "text": "two", "preference": 2}]
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"prompt": "p", "responses": responses}).encode()))
    found = load_recorded_answers(str(path))
    assert found.rows[0].answers == (Answer("one", "m", 1.5), Answer("two", "n", 2.0))
    assert found.rows[0].prompt[0].content == "p"
    assert found.have_preferences
    assert found.dropped == {}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "answers": ["one", "two"], "scores": [1, 2]},
        {"prompt": "p", "answers": [{"answer": "one", "rank": -1}, {"answer": "two", "rank": -2}]},
        {"prompt": "p", "completions": ["one", "two"], "ranks": [-1, -2]},
        {"instruction": "p", "completions": [{"response": "one", "score": 1.0}, {"response": "two", "score": "2"}]},
    ],
)
def test_scores_stand_within_or_beside_and_of_ranks_the_lowest_is_best(row, tmp_path):
    (found,) = load_recorded_answers(write(tmp_path / "a.jsonl", [row])).rows
    assert [answer.text for answer in found.answers] == ["one", "two"]
    assert [answer.preference for answer in found.answers] == [1.0, 2.0]


def test_answers_without_scores_are_answers_too(tmp_path):
    found = load_recorded_answers(write(tmp_path / "a.jsonl", [{"prompt": "p", "responses": ["one", "two", "three"]}]))
    assert [answer.preference for answer in found.rows[0].answers] == [None] * 3
    assert not found.have_preferences


def test_rows_of_one_answer_are_put_together_by_prompt(tmp_path):
    rows = [
        {"instruction": "p", "output": "one", "generator": "m"},
        {"instruction": "q", "output": "other", "generator": "m"},
        {"instruction": "p", "output": "two", "generator": "n"},
    ]
    found = load_recorded_answers(write(tmp_path / "a.jsonl", rows))
    assert [len(row.answers) for row in found.rows] == [2, 1]
    assert found.rows[0].answers == (Answer("one", "m"), Answer("two", "n"))


def test_what_cannot_be_used_is_counted_by_reason(tmp_path):
    rows = [
        {"prompt": "p", "responses": [{"text": "one"}, {"text": " "}, {"text": "three"}]},
        {"prompt": "", "responses": ["one"]},
        {"prompt": "q", "responses": [1, 2]},
        {"prompt": "r", "colour": "red"},
    ]
    found = load_recorded_answers(write(tmp_path / "a.jsonl", rows))
    assert [len(row.answers) for row in found.rows] == [2]
    assert found.dropped == {EMPTY_ANSWER: 1, "empty prompt": 1, "not text": 1, "no column of answers": 1}


def test_a_file_without_answers_says_what_is_expected(tmp_path):
    with pytest.raises(LoadError, match=r"no column of answers \(1\).*its columns are prompt, colour"):
        load_recorded_answers(write(tmp_path / "a.jsonl", [{"prompt": "p", "colour": "red"}]))
