"""The layout of a text: joined it is the text again, its passages fit, and code, lists and line breaks are kept."""

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mars_engine.augment.generators.passages.layout import Layout, lay_out, with_ending, with_line_breaks
from mars_engine.augment.generators.passages.sentences import holds_literal


@dataclass(frozen=True)
class CountingReader:
    """Reads so many letters at once, in words or not; knows no tilde."""

    letters: int

    def fits(self, passage: str) -> bool:
        return len(passage) <= self.letters

    def knows(self, text: str) -> bool:
        return "~" not in text


MIXED = """Let me explain how this works. It is simple, really! You only need two things.

# What you need

- a bucket, which should be large
- `water`
  1. not too cold

Then call `mix(a, b)` twice. After that, wait
for an hour or so and stir it well. That is all there is to it.

```python
def mix(a, b):
    return a + b  # Two sentences. In a comment.
```

| step | time |
|------|------|
| stir | 1 h  |

    indented code.

> A quotation. Of two sentences.

Good luck! See https://example.org/page. Write again any time.
"""
UNITS = st.sampled_from(
    [
        "Short one.",
        "A sentence that is somewhat longer, with a clause, and with another.",
        "and it goes on",
        "Is it? Yes!",
        "- an item. With two sentences.",
        "3) third",
        "# A heading",
        "```\ncode. More code.\n```",
        "~~~\nopen fence. To the end.",
        "> quoted. Line.",
        "| a | b |",
        "    indented",
        "Use `code` here.",
        "Unendingwordwithoutanyspaceinitthatgoesonandonandon",
        "1234.",
        "~tilde~ text.",
        "e.g. this one, Dr. Who said.",
        "你好。再见。",
        "",
    ]
)
GAPS = st.sampled_from([" ", "  ", "\n", "\n\n", "\r\n", "\n   \n", "\t"])
TEXTS = st.one_of(
    st.lists(st.tuples(UNITS, GAPS), max_size=14).map(lambda some: "".join(unit + gap for unit, gap in some)),
    st.text(max_size=200),
    st.text(alphabet=" .!?\n\t-*#`~>|12ab,;é", max_size=200),
)


def kept_of(layout: Layout) -> str:
    return "\0".join(piece.text for piece in layout.pieces if not piece.is_passage)


@given(TEXTS, st.integers(5, 120), st.booleans())
@example(MIXED, 60, False)
@example(MIXED, 60, True)
def test_unchanged_passages_give_the_very_text_back(text, letters, list_items):
    layout = lay_out(text, CountingReader(letters), list_items=list_items)
    assert layout.with_passages(layout.passages) == text
    assert "".join(piece.text for piece in layout.pieces) == text


@given(TEXTS, st.integers(5, 120), st.booleans())
@example(MIXED, 60, False)
def test_no_passage_exceeds_the_limit_and_each_begins_and_ends_with_a_letter_or_mark(text, letters, list_items):
    layout = lay_out(text, CountingReader(letters), list_items=list_items)
    for passage in layout.passages:
        assert 0 < len(passage) <= letters
        assert passage == passage.strip()


@given(TEXTS, st.integers(5, 120))
def test_only_a_sentence_that_does_not_fit_is_cut_and_only_between_words(text, letters):
    whole = lay_out(text, CountingReader(10_000), list_items=False)
    layout = lay_out(text, CountingReader(letters), list_items=False)
    assert whole.cut_sentences == 0
    long_words = [word for passage in whole.passages for word in passage.split() if len(word) > letters]
    words = [word for passage in layout.passages for word in passage.split()]
    assert words == [word for passage in whole.passages for word in passage.split() if word not in long_words]
    assert layout.kept["words longer than the model reads"] == len(long_words)


@given(TEXTS, st.integers(5, 120), st.booleans())
def test_a_passage_holds_no_code_no_table_and_no_letters_that_the_model_does_not_know(text, letters, list_items):
    for passage in lay_out(text, CountingReader(letters), list_items=list_items).passages:
        assert "`" not in passage or not holds_literal(passage)
        assert "|" not in passage
        assert "~" not in passage


def test_code_lists_tables_headings_quotations_and_addresses_are_kept():
    layout = lay_out(MIXED, CountingReader(80), list_items=False)
    assert layout.passages == (
        "Let me explain how this works. It is simple, really! You only need two things.",
        "After that, wait\nfor an hour or so and stir it well. That is all there is to it.",
        "Good luck!",
        "Write again any time.",
    )
    changed = layout.with_passages([passage.upper() for passage in layout.passages])
    for kept in (
        "\n\n# What you need\n\n- a bucket, which should be large\n- `water`\n  1. not too cold\n\n",
        "Then call `mix(a, b)` twice. ",
        "\n\n```python\ndef mix(a, b):\n    return a + b  # Two sentences. In a comment.\n```\n\n",
        "| step | time |\n|------|------|\n| stir | 1 h  |\n\n    indented code.\n\n",
        "\n\n> A quotation. Of two sentences.\n\n",
        " See https://example.org/page. ",
    ):
        assert kept in changed
        assert kept in MIXED
    assert layout.kept == {
        "headings": 1,
        "list items": 3,
        "code, formulas and addresses": 3,
        "code": 1,
        "tables and quotations": 2,
    }


def test_the_text_of_list_items_is_a_passage_where_it_is_asked_for():
    text = "Two things:\n- [x] one is done. It was easy.\n  12. the other, which\n  goes on\n* call `f()`\n"
    layout = lay_out(text, CountingReader(80), list_items=True)
    assert layout.passages == ("Two things:", "one is done. It was easy.", "the other, which\n  goes on")
    assert layout.with_passages(["A", "B", "C"]) == "A\n- [x] B\n  12. C\n* call `f()`\n"


def test_a_long_list_item_is_cut_between_its_sentences_first():
    text = "1. Take the first one. Then take the other one. Put both down."
    layout = lay_out(text, CountingReader(30), list_items=True)
    assert layout.passages == ("Take the first one.", "Then take the other one.", "Put both down.")
    assert layout.cut_sentences == 0


def test_a_long_sentence_is_cut_after_a_clause_where_one_ends_late_enough():
    sentence = "When it rains we stay, but when the sun is out again we go and see the lake"
    layout = lay_out(sentence, CountingReader(30), list_items=False)
    assert layout.passages[0] == "When it rains we stay,"
    assert " ".join(layout.passages) == sentence
    assert layout.cut_sentences == 1


def test_a_word_that_fits_nowhere_is_kept_and_counted():
    layout = lay_out(f"Look at {'x' * 50} now, please.", CountingReader(20), list_items=False)
    assert layout.passages == ("Look at", "now, please.")
    assert layout.kept == {"words longer than the model reads": 1}


def test_as_many_passages_are_put_back_as_there_are():
    layout = lay_out("One. Two.", CountingReader(6), list_items=False)
    with pytest.raises(ValueError, match="1 passages in the place of 2"):
        layout.with_passages(["only"])


def test_a_rewriting_gets_the_line_breaks_of_its_passage():
    passage = "roses are red,\n  violets are blue"
    assert with_line_breaks("a rose is red, and blue the violets", passage) == "a rose is red,\n  and blue the violets"
    assert with_line_breaks("two words", "one line") == "two words"
    assert with_line_breaks("nospace", passage) is None


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=5), min_size=1, max_size=12), st.integers(0, 3))
def test_all_line_breaks_are_kept_where_there_is_room_for_them(words, breaks):
    text = with_line_breaks(" ".join(words), "\n".join(["first words"] * (breaks + 1)))
    if breaks >= len(words):
        assert text is None
    else:
        assert text is not None
        assert text.split() == words
        assert text.count("\n") == breaks


@pytest.mark.parametrize(
    ("passage", "text", "expected"),
    [
        ("Here are the steps:", "These are the steps.", "These are the steps:"),
        ("Here are the steps:", "These are the steps", "These are the steps:"),
        ("Kind regards", "Best wishes.", "Best wishes"),
        ("When it rains we stay,", "We stay when it rains.", "We stay when it rains,"),
        ("Do you see?", "You can see it.", "You can see it."),
        ('He said "no."', "No, he said.", "No, he said."),
        ("Kind regards", "Is it you?", "Is it you?"),
    ],
)
def test_what_does_not_end_as_a_sentence_is_not_given_back_as_one(passage, text, expected):
    assert with_ending(text, passage) == expected
