"""Facts of a text, by cases."""

import pytest

from mars_engine.augment.quality.text_facts import (
    code_spans,
    names,
    negation_count,
    number_words,
    numbers,
    personal_data,
    refusals,
)


def test_names_are_capitalised_words_in_the_midst_of_sentences():
    text = "Yesterday Ada Lovelace met Charles Babbage in “London”. I'm sure, said O’Neill-Smith:\nNothing"
    assert names(text) == {"Ada", "Lovelace", "Charles", "Babbage", "London", "O’Neill-Smith"}


@pytest.mark.parametrize(
    "text", ["I think I'm right.", "No. Yes! Why? Because.", "- First\n- Second", "1. One\n2. Two", ""]
)
def test_sentence_starts_lists_and_i_are_no_names(text):
    assert names(text) == frozenset()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("I do not know and I don't care.", 2),
        ("Nobody never said nothing.", 3),
        ("He wanted a knot in the nothingness of Norway.", 0),
        ("cannot, can’t, won't, without", 4),
        ("Not only this", 0),
        ("Avoid it: it is illegal, it hardly works, and he refused; it failed to start", 5),
        ("a failure, illegible", 0),
        ("Steer clear of it, stay away from it", 2),
    ],
)
def test_negations(text, count):
    assert negation_count(text) == count


def test_numbers_are_counted_as_written_without_commas_between_thousands():
    assert numbers("3 of 3, 1,000 and 2.5, 1,2 or 1,000,00.") == {"3": 2, "1000": 1, "2.5": 1, "1,2": 1, "1,000,00": 1}
    assert number_words("Two of twenty-two, a hundred, and one") == {"2": 2, "20": 1, "100": 1}


def test_code_is_what_stands_between_backticks():
    text = "Use `ls -l` or\n```sh\ncat `f`\n```\nthen `ls -l`, and ```open"
    assert code_spans(text) == {"`ls -l`": 2, "```sh\ncat `f`\n```": 1, "```open": 1}
    assert code_spans("``a`b`` and\n~~~\nx\n~~~") == {"``a`b``": 1, "~~~\nx\n~~~": 1}


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("mail a.b+c@example.co.uk.", {"e-mail address"}),
        ("see https://example.org/a?b=c, or www.example.org!", {"web address"}),
        ("ping 192.168.0.1 now", {"IP address"}),
        ("version 1.2.3.4.5 of 999.1.1.1", set()),
        ("4111 1111 1111 1111", {"card number"}),
        ("4111 1111 1111 1112 is no card", set()),
        ("call +49 (30) 123-4567 or (212) 555-0147", {"phone number"}),
        ("on 2020-01-02, in 1999-2003, of 10,000,000", set()),
        ("by @ann_b, not a@b", {"handle"}),
    ],
)
def test_personal_data_by_kind(text, kinds):
    assert {kind for kind, _ in personal_data(text)} == kinds


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("As an AI, I can't.", {"as an AI"}),
        ("I'm sorry, but I can't help with that.", {"refusal"}),
        ("I am an artificial intelligence and cannot provide that. I cannot answer.", {"as an AI", "refusal"}),
        ("That is something I would rather not talk about.", {"refusal"}),
        ("Sorry, this goes against my guidelines.", {"refusal"}),
        ("I don’t feel comfortable sharing that. It would violate our content policy.", {"refusal"}),
        ("My apologies, but we have to stop here. I have to respectfully decline.", {"refusal"}),
        ("As a responsible AI assistant I do not have personal opinions.", {"as an AI"}),
        ("The rules are against us, and I have no opinion of the guidelines. Training data are scarce.", set()),
        ("You can't help it. She can't answer. An AI helps.", set()),
        ("I can help you with that.", set()),
        ("I'm sorry to hear that.", set()),
        ("I'm unable to process this.", {"refusal"}),
        ("I must refuse.", {"refusal"}),
        ("I'm sorry, I can't.", {"refusal"}),
        ("I won't be able to help with this.", {"refusal"}),
        ("I cannot in good conscience do so", {"refusal"}),
        ("It's not something I can help with.", {"refusal"}),
        ("I'm Claude, an assistant.", {"as an AI"}),
        ("Sure! Here's a paraphrase: It rains.", {"announcement"}),
        ("Here are the rewritten answers:\nIt rains.", {"announcement"}),
        ("Here is a list of rewriting tools that I like, and here it is: a, b", set()),
    ],
)
def test_refusals_by_kind(text, kinds):
    assert set(refusals(text)) == kinds
