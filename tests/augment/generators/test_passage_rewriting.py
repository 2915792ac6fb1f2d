"""Rewriting whole texts with a scripted writer: what is refused, how texts are put together, how failures are told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.augment.generators.passages.fitness import choose_different, find_fault
from mars_engine.augment.generators.passages.rewriting import Rules, Wanted, rewrite
from mars_engine.augment.generators.passages.writing import Asked, Search, Written
from mars_engine.augment.quality.text_facts import repeated_share
from mars_engine.core.progress import Progress, SilentProgress

PREFIX = "paraphrase: "
LOST_WORDS = ("amber", "bitter", "copper", "dusty", "early", "faint")


def say_otherwise(passage: str, candidate: int) -> str:
    return f"{LOST_WORDS[candidate % len(LOST_WORDS)]} {passage.lower()} {LOST_WORDS[candidate // 2 % 3]}"


@dataclass
class ScriptedWriter:
    """Writes what a function says; counts words as tokens; notes what it was asked."""

    say: Callable[[str, int], str] = say_otherwise
    finished: bool = True
    asked: list[Asked] = field(default_factory=list)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def knows(self, text: str) -> bool:
        return "☃" not in text

    def write(
        self,
        asked: Sequence[Asked],
        search: Search,
        *,
        name: str,  # noqa: ARG002
        progress: Progress,  # noqa: ARG002
    ) -> list[tuple[Written, ...]]:
        self.asked += asked
        return [
            tuple(
                Written(" ".join(self.say(each.text.removeprefix(PREFIX), number).split()), self.finished)
                for number in range(search.candidates)
            )
            for each in asked
        ]


def rules(*, most_tokens: int = 12, list_items: bool = False, ranks: bool = True, spare: int = 2) -> Rules:
    def search(count: int) -> Search:
        temperatures = tuple(1.0 if ranks else 1.0 + place for place in range(count + spare))
        return Search("diverse", temperatures, top_p=1.0, diversity_penalty=1.0, no_repeat_ngram=0)

    return Rules(most_tokens, list_items, 50, (PREFIX,), search, "paraphrase")


def wanted(text: str, count: int = 3, key: str = "key") -> Wanted:
    return Wanted(key, text, count, 0, lambda passage: f"{PREFIX}{passage}")


def answer(text: str, writer: ScriptedWriter | None = None, count: int = 3, **settings):
    (one,) = rewrite([wanted(text, count)], writer or ScriptedWriter(), rules(**settings), progress=SilentProgress())
    return one


# ------------------------------------------------------------------------------------------------------------ fitness

FAULTS = {
    "": "empty",
    " …!": "empty",
    "The Cat sat, on the mat": "a copy of the passage",
    "Paraphrase:  the cat was on the mat": "a repetition of the instruction",
    "A cat": "too short",
    "on a mat on a mat on a mat on a mat": "full of repetitions",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_candidate_that_is_not_fit_is_refused_with_its_reason(text):
    found = find_fault(
        Written(text, finished=True), "The cat sat on the mat.", instructions=[PREFIX], min_length_percent=50
    )
    assert found == FAULTS[text]


def test_what_did_not_end_is_refused_and_what_is_fit_is_not():
    for finished, fault in ((False, "not finished at the length limit"), (True, None)):
        written = Written("There was a cat on the mat", finished)
        assert find_fault(written, "The cat sat on the mat.", instructions=[""], min_length_percent=50) == fault


def test_a_passage_may_be_rewritten_with_its_own_repetitions():
    passage = "no no no no, not that, not that, not that"
    assert repeated_share(passage.split(), 2) > 0.3
    written = Written("no no no no, nor that, not that, not that", finished=True)
    assert find_fault(written, passage, instructions=[""], min_length_percent=50) is None


def test_the_most_different_are_chosen_and_the_likeliest_of_equals():
    passage = "we walk to the old mill"
    candidates = (
        "we walk to the old mills",
        "we walk to the old mills!",
        "we walk to that old mill",
        "let us stroll over",
        "shall we go on foot",
    )
    chosen = choose_different(candidates, passage, 3)
    assert {"let us stroll over", "shall we go on foot"} < set(chosen)
    assert "we walk to the old mills!" not in choose_different(candidates, passage, 5)
    assert len(choose_different(candidates, passage, 9)) == 4
    assert choose_different((), passage, 2) == ()


@given(st.lists(st.text(alphabet="ab ", max_size=6), max_size=6), st.integers(0, 6))
def test_what_is_chosen_is_some_of_the_candidates_each_once(candidates, count):
    chosen = choose_different(candidates, "a b", count)
    assert len(chosen) == min(count, len({tuple(text.split()) for text in candidates}))
    assert set(chosen) <= set(candidates)


# ---------------------------------------------------------------------------------------------------------- whole texts

LONG = "One is here. Two is there. Three is far.\n\n- kept. As it is.\n\nFour is `code`. Five is prose and good."


def test_every_passage_is_asked_once_and_the_variants_are_put_together_of_the_same_numbers():
    writer = ScriptedWriter(lambda passage, number: f"{LOST_WORDS[number]} {passage}")
    found = answer(LONG, writer, most_tokens=7)
    assert [each.text for each in writer.asked] == [
        f"{PREFIX}One is here. Two is there.",
        f"{PREFIX}Three is far.",
        f"{PREFIX}Five is prose and good.",
    ]
    assert len(found.candidates) == 3
    for text in found.candidates:
        first = text.split()[0]
        assert first in LOST_WORDS
        assert text == (
            f"{first} One is here. Two is there. {first} Three is far.\n\n- kept. As it is.\n\n"
            f"Four is `code`. {first} Five is prose and good."
        )
    assert found.failure == ""
    assert found.provenance == {
        "passages": 3,
        "passages left as they were": 0,
        "sentences cut between words": 0,
        "kept": {"list items": 1, "code, formulas and addresses": 1},
        "refused": {},
    }


def test_a_passage_that_several_texts_share_is_written_once():
    writer = ScriptedWriter()
    found = rewrite(
        [wanted("The same text.", key="a"), wanted("Another text.", key="b"), wanted("The same text.", key="c")],
        writer,
        rules(),
        progress=SilentProgress(),
    )
    assert [each.key for each in found] == ["a", "b", "c"]
    assert len(writer.asked) == 2
    assert found[0].candidates == found[2].candidates != ()


def test_the_tries_of_rising_temperatures_keep_their_order():
    found = answer("It is a text.", ranks=False)
    assert [text.split()[0] for text in found.candidates] == list(LOST_WORDS[:3])


def test_fewer_than_asked_are_given_with_the_reason():
    found = answer("It is a text.", ScriptedWriter(lambda _passage, number: f"Some {'other'[number % 2 :]} text here"))
    assert len(found.candidates) == 2
    assert found.failure == "only 2 of 3 different rewritings were fit to use"


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("", "the text is empty"),
        (" \n\n ", "the text is empty"),
        ("```\ncode\n```", "nothing to rewrite: the text is code alone, which is kept as it is"),
        (
            "- one\n- two\n\n`f(x)` it is",
            "nothing to rewrite: the text is code, formulas and addresses and list items alone, "
            "which is kept as it is; list_items = true rewrites list items",
        ),
        ("☃☃☃ is snow", "nothing to rewrite: the text is letters that the model does not know alone, which is kept"),
    ],
)
def test_a_text_of_which_nothing_can_be_rewritten_is_a_failure(text, failure):
    writer = ScriptedWriter()
    found = answer(text, writer)
    assert found.candidates == ()
    assert found.failure.startswith(failure)
    assert writer.asked == []


def test_the_text_itself_is_never_given_as_a_rewriting():
    found = answer("It is a text.", ScriptedWriter(lambda passage, _number: passage.upper()))
    assert found.candidates == ()
    assert found.failure == "nothing fit was written for the text; most candidates were a copy of the passage"
    assert found.provenance["refused"] == {"a copy of the passage": 5}


@pytest.mark.parametrize(("stubborn", "answered"), [("Two is there.", True), ("One is here. Five is good.", False)])
def test_passages_that_nothing_fit_was_written_for_stay_as_long_as_most_of_the_text_is_rewritten(stubborn, answered):
    def say(passage: str, number: int) -> str:
        return passage if passage in stubborn else say_otherwise(passage, number)

    text = "One is here.\nTwo is there.\nFive is good."
    found = answer(text, ScriptedWriter(say), most_tokens=6)
    assert bool(found.candidates) is answered
    if answered:
        assert found.provenance["passages left as they were"] == 1
        assert all("\nTwo is there.\n" in each and "One is here." not in each for each in found.candidates)
    else:
        assert found.failure.startswith("nothing fit was written for most of the text; most candidates were a copy")


def test_a_passage_with_fewer_candidates_gives_them_again():
    def say(passage: str, number: int) -> str:
        return "the only other way" if passage == "Two is there." else say_otherwise(passage, number)

    found = answer("One is here.\nTwo is there.", ScriptedWriter(say), most_tokens=6)
    assert len(found.candidates) == 3
    assert all(each.endswith("\nthe only other way") for each in found.candidates)


def test_line_breaks_inside_a_passage_are_kept():
    found = answer("one two three\nfour five six seven", count=1)
    assert found.candidates[0].count("\n") == 1


def test_a_text_whose_surroundings_leave_no_room_is_a_failure():
    big = Wanted("key", "It is a text.", 2, 0, lambda passage: f"{'word ' * 40}{passage}")
    (found,) = rewrite([big], ScriptedWriter(), rules(), progress=SilentProgress())
    assert found.candidates == ()
    assert found.failure == "what surrounds the passage leaves it no room in 12 tokens"


def test_a_long_sentence_is_given_in_parts_and_counted():
    writer = ScriptedWriter()
    found = answer(" ".join(f"w{number}" for number in range(30)), writer)
    assert " ".join(each.text.removeprefix(PREFIX) for each in writer.asked) == " ".join(f"w{n}" for n in range(30))
    assert found.provenance["sentences cut between words"] == 1
    assert found.provenance["passages"] == 3
