"""Reading chat answers: whole rewrites out of whatever a model writes, and nothing else."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mars_engine.augment.generators.chat.reading import Reading, read_judgement, read_rewrites, vet_rewrites
from mars_engine.augment.quality.text_facts import normalized

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
LISTS = st.lists(TEXTS, min_size=1, max_size=6)
CODE = 'Use this:\n\n```json\n{"names": ["a", "b"]}\n```\n\n[1, 2] is a list.'


def read(answer: str, *, wanted: int = 5, finish_reason: str = "stop", source: str = "") -> Reading:
    return read_rewrites(answer, finish_reason=finish_reason, wanted=wanted, source=source)


@given(texts=LISTS, wrapped=st.sampled_from(["{}", "```json\n{}\n```", "Sure, here you are:\n{}\nAnything else?"]))
def test_json_is_read_as_it_was_written(texts, wrapped):
    for ascii_only in (True, False):
        answer = json.dumps({"rewrites": texts}, ensure_ascii=ascii_only)
        assert read(wrapped.replace("{}", answer)) == Reading(tuple(texts))


@given(texts=LISTS)
def test_line_breaks_as_they_are_within_json_are_taken(texts):
    answer = json.dumps({"rewrites": [f"{text}\nmore" for text in texts]}, ensure_ascii=False).replace("\\n", "\n")
    if not any("\\" in text for text in texts):
        assert read(answer).rewrites == tuple(f"{text}\nmore" for text in texts)


@given(texts=LISTS, cut=st.integers(0, 400), fenced=st.booleans())
@example(texts=["one", "two"], cut=22, fenced=False)
def test_of_an_answer_that_was_cut_off_only_whole_rewrites_are_taken(texts, cut, fenced):
    answer = json.dumps({"rewrites": texts})
    answer = f"```json\n{answer}\n```" if fenced else answer
    found = read(answer[:cut], finish_reason="length")
    assert found.rewrites == tuple(texts[: len(found.rewrites)])
    assert found.lost in (0, 1)


@given(texts=st.lists(st.text("abc xyz", min_size=1).filter(str.strip), min_size=2, max_size=6))
def test_a_rewrite_that_was_begun_is_counted_as_lost(texts):
    answer = json.dumps({"rewrites": texts})
    cut = answer.rindex('"') - 1  # within the last text, before its end
    if answer[:cut].count('"') % 2:
        assert read(answer[:cut], finish_reason="length") == Reading(tuple(texts[:-1]), 1)


@given(texts=st.lists(st.text("abcdefg ", min_size=1).filter(str.strip), min_size=1, max_size=9))
def test_numbered_lists_are_read_and_a_last_item_that_was_cut_is_lost(texts):
    answer = "Here they are:\n\n" + "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))
    stripped = tuple(text.strip() for text in texts)
    assert read(answer, wanted=len(texts) + 1) == Reading(stripped)
    assert read(answer, wanted=len(texts) + 1, finish_reason="length") == Reading(stripped[:-1], 1)


@given(answer=st.text(st.sampled_from('{}[]"\\,:1. \nab`rewites'), max_size=80), wanted=st.integers(1, 3))
def test_no_answer_is_too_strange(answer, wanted):
    for reason in ("stop", "length", ""):
        found = read(answer, wanted=wanted, finish_reason=reason)
        assert found.lost in (0, 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('["a", "b"]', ("a", "b")),
        ('{"paraphrases": ["a", "b"]}', ("a", "b")),
        ('{"rewrites": [{"text": "a"}, {"text": "b"}]}', ("a", "b")),
        ('{"1": "a", "2": "b"}', ("a", "b")),
        ('<think>Two: ["x", "y"]?</think>{"rewrites": ["a", "b"]}', ("a", "b")),
        ('Two: ["x", "y"]?</think>{"rewrites": ["a", "b"]}', ("a", "b")),
        ('draft: {"rewrites": ["x", "y"]}\n</thinking>\n{"rewrites": ["a", "b"]}', ("a", "b")),
        ('{"rewrites": ["a </think> b", "b"]}', ("a </think> b", "b")),
        ('Text: {"names": ["x", "y"]}\n{"rewrites": ["a", "b"]}', ("a", "b")),
        ('{"rewrites": ["a", "He said "hi" to me", "b"]}', ("a",)),
        ('{"error": "I cannot do that."}', ()),
        ('{"text": "a", "language": "en"}', ()),
        ('{"rewrite 1": "a", "Rewrite_2": "b"}', ("a", "b")),
        ("1) a\n2) b with\n   two lines", ("a", "b with\n   two lines")),
        ("**1.** a\n**2.** b", ("a", "b")),
        ("I cannot do that.", ()),
        ("", ()),
        ("<think>no end", ()),
        ('{"rewrites": []}', ()),
        ('{"rewrites": [1, 2]}', ()),
    ],
)
def test_the_forms_that_models_answer_in(answer, expected):
    assert read(answer, wanted=2).rewrites == expected


def test_a_plain_text_is_a_rewrite_where_one_was_wanted_with_its_code_and_lists():
    assert read(CODE, wanted=1).rewrites == (CODE,)
    assert read("just words", wanted=1).rewrites == ("just words",)
    assert read("just words", wanted=1, finish_reason="length") == Reading((), 1)
    assert read('{"rewrites": ["just words"]}', wanted=1).rewrites == ("just words",)
    assert read('```json\n{"rewrites": ["a"]}\n```', wanted=1).rewrites == ("a",)


def test_a_source_with_a_numbered_list_of_its_own_is_not_taken_apart():
    source = "Do this:\n1. wash\n2. cook"
    assert read("First:\n1. rinse\n2. boil", wanted=3, source=source).rewrites == ()


# ---------------------------------------------------------------------------------------------------------- vetting


@given(rewrites=LISTS, source=TEXTS, other=TEXTS, wanted=st.integers(1, 6), lost=st.integers(0, 1))
def test_what_is_used_differs_from_the_source_and_everything_else_is_accounted_for(
    rewrites, source, other, wanted, lost
):
    vetted = vet_rewrites(Reading(tuple(rewrites), lost), source=source, others=(other,), wanted=wanted)
    keys = [normalized(text) for text in vetted.usable]
    assert len(set(keys)) == len(keys) <= wanted
    assert not {normalized(source), normalized(other), ""} & set(keys)
    assert all("\0" not in text for text in vetted.usable)
    assert bool(vetted.reason) == (len(vetted.usable) < wanted)


def test_each_fault_has_its_reason():
    reading = Reading(("", "Source", "other", "x" * 10_000, "half \ud800", "good", "Good "), 1)
    vetted = vet_rewrites(reading, source="source", others=("Other",), wanted=4)
    assert vetted.usable == ("good",)
    assert vetted.reason == (
        "only 1 of 4 rewrites can be used: 1 empty, 1 the text itself, unchanged, 1 the other answer itself, "
        "1 longer than 2,024 characters, 1 with characters that are no text, 1 said twice, 1 cut off"
    )


# ------------------------------------------------------------------------------------------------------- judgements


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"better": "first"}', "first"),
        ('The second is nicer.\n```json\n{"better": "Second"}\n```', "second"),
        ("Tie.", "tie"),
        ("<think>first?</think> **second**", "second"),
        ("I like the first one, or the second", None),
        ('{"better": "none"}', None),
        ("", None),
    ],
)
def test_a_judgement_is_taken_only_where_it_is_plain(answer, expected):
    assert read_judgement(answer) == expected
