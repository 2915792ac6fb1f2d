"""The extractive refiner: drops the nearest sentence first, invents nothing, and embeds a batch in one call."""

import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mars_engine.augment.generators import ExtractiveRefiner
from mars_engine.augment.generators.passages.sentences import split_sentences
from mars_engine.augment.generators.protocols import Generation, Refiner, RefineRequest
from mars_engine.core.progress import Progress, ProgressTask
from mars_engine.core.records import Embeddings, Passage, Side, Turn

PROMPT = (Turn("user", "How do I keep a mirror clear?"),)
CHOSEN = "Rub a drop of soap over the glass. Open the window too."
NEAREST = "Rub some soap over the glass."
SECOND = "You may open the window."
FAR = "Mirrors have a long history."
FARTHEST = "Bronze came before silver!"
REJECTED = f"{FARTHEST} {NEAREST} {FAR} {SECOND}"


class SilentTask:
    def advance(self, steps: int = 1) -> None:
        del steps


class SilentProgress:
    @contextmanager
    def task(self, name: str, total: int) -> Iterator[ProgressTask]:
        del name, total
        yield SilentTask()


class BagOfWordsEncoder:
    """Hashes words into 256 directions; notes the passages of every call."""

    fingerprint = "bag-of-words-256"

    def __init__(self) -> None:
        self.calls: list[list[Passage]] = []

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:
        del progress
        self.calls.append(list(passages))
        vectors = np.zeros((len(passages), 256), dtype=np.float32)
        for row, passage in zip(vectors, passages, strict=True):
            row[0] = 0.01
            for word in re.findall(r"\w+", passage.text.lower()):
                row[1 + zlib.crc32(word.encode()) % 255] += 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        none_cut = np.zeros(len(passages), dtype=np.int64)
        return Embeddings(vectors, none_cut, none_cut)


def request(
    rejected: str = REJECTED, *, chosen: str = CHOSEN, side: Side = "rejected", count: int = 5
) -> RefineRequest:
    return RefineRequest("key", PROMPT, chosen, rejected, side, count, 0)


def refine(one: RefineRequest) -> Generation:
    return ExtractiveRefiner(BagOfWordsEncoder(), progress=SilentProgress()).refine([one])[0]


# ---------------------------------------------------------------------------------------------------------- refining


def test_it_is_a_refiner_and_its_card_names_the_encoder() -> None:
    refiner: Refiner = ExtractiveRefiner(BagOfWordsEncoder(), progress=SilentProgress())
    card = refiner.card
    assert (card.name, card.version, card.stand_in) == ("extractive-refiner", "1", True)
    assert card.settings == {"encoder": "bag-of-words-256"}


def test_the_sentence_nearest_to_the_chosen_answer_is_dropped_first() -> None:
    answer = refine(request(count=3))
    assert answer.candidates == (f"{FARTHEST} {FAR} {SECOND}", f"{FARTHEST} {FAR}", FARTHEST)
    assert answer.failure == ""


def test_at_least_one_sentence_stays_and_fewer_cuts_than_asked_are_said() -> None:
    answer = refine(request(count=8))
    assert answer.candidates[-1] == FARTHEST
    assert answer.failure == "only 3 of 8 cuts possible"
    assert not answer.retryable


def test_a_batch_is_one_call_of_the_encoder() -> None:
    encoder = BagOfWordsEncoder()
    refiner = ExtractiveRefiner(encoder, progress=SilentProgress())
    answers = refiner.refine([request(), request(side="chosen"), request(f"{NEAREST} {FAR}"), request("One only.")])
    assert len(encoder.calls) == 1
    texts = [passage.text for passage in encoder.calls[0]]
    assert len(texts) == len(set(texts)) == 6
    assert all(passage.context == "" for passage in encoder.calls[0])
    assert [bool(answer.candidates) for answer in answers] == [True, False, True, False]


def test_what_else_is_in_the_batch_changes_no_answer() -> None:
    requests = [request(), request(f"{FAR} {NEAREST}"), request(SECOND, side="chosen"), request(count=1)]
    refiner = ExtractiveRefiner(BagOfWordsEncoder(), progress=SilentProgress())
    together = refiner.refine(requests)
    assert together == list(reversed(refiner.refine(requests[::-1])))
    assert together == [refine(one) for one in requests]


def test_nothing_to_embed_calls_no_encoder() -> None:
    encoder = BagOfWordsEncoder()
    refiner = ExtractiveRefiner(encoder, progress=SilentProgress())
    assert refiner.refine([]) == []
    assert refiner.refine([request(side="chosen")])[0].failure
    assert encoder.calls == []


@pytest.mark.parametrize(
    ("one", "failure"),
    [
        (request("One sentence"), "the rejected answer has one sentence only: nothing can be dropped"),
        (request(" \n"), "the rejected answer is empty: nothing can be dropped"),
        (request(chosen=""), "the chosen answer is empty: there is nothing to be near to"),
        (
            request(side="chosen"),
            "the extractive refiner rewrites the rejected answer only: cutting the chosen one could make it the worse",
        ),
    ],
)
def test_what_cannot_be_refined_is_a_failure(one: RefineRequest, failure: str) -> None:
    assert refine(one) == Generation("key", (), failure=failure)


def test_equal_candidates_are_left_out() -> None:
    answer = refine(request(f"{FAR} {FAR} {FAR}", chosen=CHOSEN))
    assert answer.candidates == (f"{FAR} {FAR}", FAR)


def test_paragraphs_stay_apart_and_no_blank_line_is_doubled() -> None:
    rejected = f"{FARTHEST} {SECOND}\n\n{NEAREST}\n\n```\nx = 1.\nY\n```\n\n1. {FAR}\n2. {NEAREST}\n"
    for candidate in refine(request(rejected)).candidates:
        assert "\n\n\n" not in candidate
        assert "```\nx = 1.\nY\n```\n" in candidate or "x = 1" not in candidate
        assert candidate.endswith("\n")
    without_the_nearest = f"{FARTHEST} {SECOND}\n\n```\nx = 1.\nY\n```\n\n1. {FAR}\n2. {NEAREST}\n"
    assert refine(request(rejected)).candidates[0] == without_the_nearest


UNITS = st.sampled_from(
    [
        FAR,
        NEAREST,
        SECOND,
        FARTHEST,
        "Is it so?",
        '"Wait. No." he said.',
        "```\na. B\n```",
        "- an item. Still it",
        "# Head",
    ]
)


@settings(max_examples=100, deadline=None)
@given(units=st.lists(UNITS, min_size=2, max_size=8), count=st.integers(1, 8))
def test_every_sentence_of_a_candidate_is_one_of_the_rejected_answer_s(units: list[str], count: int) -> None:
    rejected = "\n\n".join(units)
    ours = [sentence.body for sentence in split_sentences(rejected).sentences]
    candidates = refine(request(rejected, count=count)).candidates
    assert 1 <= len(candidates) <= count
    assert len(set(candidates)) == len(candidates)
    for candidate in candidates:
        kept = [sentence.body for sentence in split_sentences(candidate).sentences]
        remaining = iter(ours)
        assert kept
        assert len(kept) < len(ours)
        assert all(body in remaining for body in kept), "the sentences keep their order"


# --------------------------------------------------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("text", "bodies"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "Dr. Smith paid 3.50, i.e. too much. No. 5 is free.",
            ["Dr. Smith paid 3.50, i.e. too much.", "No. 5 is free."],
        ),
        ('She said: "Go. Now." Then left.', ['She said: "Go. Now."', "Then left."]),
        (
            "Hard wrapped\nprose goes on. And\nends here.\nNew line",
            ["Hard wrapped\nprose goes on.", "And\nends here.", "New line"],
        ),
        (
            "Do this:\n- one. Two\n  and more\n- three\n\nDone.",
            ["Do this:", "- one. Two\n  and more", "- three", "Done."],
        ),
        ("A.\n\n```py\nx. Y\n\nz\n```\nB.", ["A.", "```py\nx. Y\n\nz\n```", "B."]),
        ("> a. B\n> c\n\n| a | b |\n|---|---|\n", ["> a. B\n> c", "| a | b |\n|---|---|"]),
        ("  indented. Next", ["  indented.", "Next"]),
        ("这是一。这是二。", ["这是一。", "这是二。"]),
        ("One.\r\n\r\nTwo.", ["One.", "Two."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text: str, bodies: list[str]) -> None:
    assert [sentence.body for sentence in split_sentences(text).sentences] == bodies


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("aB.!?\"'`>-|# \n\r\t1)(“”。é")))
def test_splitting_loses_no_character(text: str) -> None:
    split = split_sentences(text)
    everything = set(range(len(split.sentences)))
    assert split.lead + "".join(sentence.body + sentence.gap for sentence in split.sentences) == text
    assert split.keeping(everything) == text
    assert all(sentence.body.strip() and sentence.gap.strip() == "" for sentence in split.sentences)
