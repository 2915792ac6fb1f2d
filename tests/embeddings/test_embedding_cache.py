"""The embedding cache: each passage is encoded once ever, and an interruption leaves no trace."""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars_engine.core.errors import StoreError
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import Embeddings, HiddenState, Passage, Prompt
from mars_engine.embeddings.cache import CachedEncoder, passage_key
from mars_engine.embeddings.context import render_context
from mars_engine.embeddings.passage_tokens import TokenizedPassage
from mars_engine.embeddings.sentence_encoder import BatchReading

SILENT = SilentProgress()
PASSAGES = [Passage("x" * length, context) for length in (5, 1, 4, 2, 3) for context in ("", "question", "q")]
BATCH_SIZE = 4


class KilledError(Exception):
    """Stands for the end of a process."""


@dataclass
class FakeBatchEncoder:
    """Encodes a passage to numbers that depend on it and, slightly, on the whole batch it came in.

    Real encoders do so too, through padding; here it shows whether two runs encoded the very same batches.
    """

    fingerprint: str = "fake"
    depth: int = 2
    batches_before_kill: int | None = None
    batches: list[list[str]] = field(default_factory=list)
    asked: list[tuple[bool, tuple[HiddenState, ...]]] = field(default_factory=list)

    def tokenize(self, passages: Sequence[Passage]) -> list[TokenizedPassage]:
        return [
            TokenizedPassage(
                tuple(map(ord, each.context + each.text)),
                len(each.context),
                len(each.text),
                context_start=0,
                text_start=len(each.context),
                text_end=len(each.context + each.text),
            )
            for each in passages
        ]

    def plan_batches(self, rows: Sequence[TokenizedPassage]) -> list[list[int]]:
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].token_ids))
        return [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]

    def context_of(self, prompt: Prompt) -> str:
        return render_context(prompt)

    def read_batch(
        self, rows: Sequence[TokenizedPassage], *, sentence: bool, states: Sequence[HiddenState] = ()
    ) -> BatchReading:
        if self.batches_before_kill is not None and len(self.batches) >= self.batches_before_kill:
            raise KilledError
        texts = ["".join(map(chr, row.token_ids)) for row in rows]
        self.batches.append(texts)
        self.asked.append((sentence, tuple(states)))
        vectors = np.array(
            [[numbers_of(text), 1e-6 * numbers_of("|".join(texts)), 1.0] for text in texts], dtype=np.float32
        )
        return BatchReading(vectors if sentence else None, {state: vectors + state.layer for state in states})

    @property
    def encoded(self) -> int:
        return sum(map(len, self.batches))


def numbers_of(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32


@dataclass
class RecordingProgress:
    """Remembers each task's total and the steps that were reported."""

    tasks: list[list[int]] = field(default_factory=list)

    @contextmanager
    def task(self, name: str, total: int) -> Iterator["RecordingProgress"]:  # noqa: ARG002
        self.tasks.append([total])
        yield self

    def advance(self, steps: int = 1) -> None:
        self.tasks[-1].append(steps)


def encode(
    encoder: FakeBatchEncoder, folder: Path, passages: Sequence[Passage] = PASSAGES, progress: Progress = SILENT
) -> Embeddings:
    return CachedEncoder(encoder, folder).encode(passages, progress=progress)


def assert_same(first: Embeddings, second: Embeddings) -> None:
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(first.context_tokens_cut, second.context_tokens_cut)
    np.testing.assert_array_equal(first.text_tokens_cut, second.text_tokens_cut)


# --------------------------------------------------------------------------------------------------- once and in order


def test_rows_come_in_the_order_of_the_passages(tmp_path):
    embeddings = encode(FakeBatchEncoder(), tmp_path)
    assert embeddings.vectors.dtype == np.float32
    assert embeddings.vectors.shape == (len(PASSAGES), 3)
    np.testing.assert_array_equal(
        embeddings.vectors[:, 0],
        np.array([numbers_of(each.context + each.text) for each in PASSAGES], dtype=np.float32),
    )
    assert embeddings.context_tokens_cut.tolist() == [len(each.context) for each in PASSAGES]
    assert embeddings.text_tokens_cut.tolist() == [len(each.text) for each in PASSAGES]


def test_each_distinct_passage_is_encoded_once_ever(tmp_path):
    first, second = FakeBatchEncoder(), FakeBatchEncoder()
    some = [*PASSAGES[:6], *PASSAGES[:3]]
    before = encode(first, tmp_path, some)
    assert first.encoded == 6
    np.testing.assert_array_equal(before.vectors[6:], before.vectors[:3])

    rest = encode(second, tmp_path)
    assert second.encoded == len(PASSAGES) - 6
    np.testing.assert_array_equal(rest.vectors[:6], before.vectors[:6])

    third = FakeBatchEncoder()
    again = encode(third, tmp_path, PASSAGES[::-1])
    assert third.encoded == 0
    np.testing.assert_array_equal(again.vectors, rest.vectors[::-1])


def test_more_passages_than_one_query_takes(tmp_path):
    passages = [Passage(f"number {number}") for number in range(1203)]
    first, second = FakeBatchEncoder(), FakeBatchEncoder()
    assert_same(encode(first, tmp_path, passages), encode(second, tmp_path, passages))
    assert (first.encoded, second.encoded) == (1203, 0)


def test_no_passages_give_no_rows(tmp_path):
    encoder = FakeBatchEncoder()
    embeddings = encode(encoder, tmp_path, [])
    assert len(embeddings.vectors) == len(embeddings.context_tokens_cut) == len(embeddings.text_tokens_cut) == 0
    assert embeddings.vectors.ndim == 2
    assert encoder.encoded == 0


def test_encoders_with_different_fingerprints_share_nothing(tmp_path):
    first, second = FakeBatchEncoder("one"), FakeBatchEncoder("two")
    encode(first, tmp_path)
    encode(second, tmp_path)
    assert second.encoded == first.encoded == len(PASSAGES)
    assert CachedEncoder(first, tmp_path).fingerprint == "one"


def test_progress_counts_what_had_to_be_encoded(tmp_path):
    progress = RecordingProgress()
    encode(FakeBatchEncoder(), tmp_path, PASSAGES[:6], progress)
    encode(FakeBatchEncoder(), tmp_path, PASSAGES[:6], progress)
    encode(FakeBatchEncoder(), tmp_path, PASSAGES, progress)
    counted = [(total, sum(steps)) for total, *steps in progress.tasks if total]  # loading the encoder has no steps
    assert counted == [(6, 6), (len(PASSAGES) - 6,) * 2]


def test_a_passage_in_context_is_not_the_text_alone(tmp_path):
    passages = [Passage("ab"), Passage("b", "a"), Passage("", "ab")]
    encoder = FakeBatchEncoder()
    encode(encoder, tmp_path, passages)
    assert encoder.encoded == 3


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_two_passages_share_a_key_only_where_they_are_equal(text, context, other_text, other_context):
    first, second = Passage(text, context), Passage(other_text, other_context)
    assert (passage_key(first) == passage_key(second)) == (first == second)


# ------------------------------------------------------------------------------------------------------ interruptions


@pytest.mark.parametrize("batches", [0, 1, 2, 3])
def test_a_run_killed_between_batches_goes_on_as_if_undisturbed(tmp_path, batches):
    undisturbed, killed, resumed = FakeBatchEncoder(), FakeBatchEncoder(batches_before_kill=batches), FakeBatchEncoder()
    expected = encode(undisturbed, tmp_path / "undisturbed")
    assert len(undisturbed.batches) == 4
    with pytest.raises(KilledError):
        encode(killed, tmp_path / "killed")
    after = encode(resumed, tmp_path / "killed")
    assert killed.batches + resumed.batches == undisturbed.batches
    assert_same(after, expected)


def test_a_batch_is_stored_as_soon_as_it_is_encoded(tmp_path):
    killed = FakeBatchEncoder(batches_before_kill=2)
    with pytest.raises(KilledError):
        encode(killed, tmp_path)
    with sqlite3.connect(tmp_path / "fake.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM embeddings").fetchone() == (2 * BATCH_SIZE,)
    connection.close()


# ------------------------------------------------------------------------------------------------------------- damage


def test_a_file_that_is_no_database_is_an_error(tmp_path):
    (tmp_path / "fake.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"embedding cache .*fake\.sqlite cannot be used") as caught:
        encode(FakeBatchEncoder(), tmp_path)
    assert "may be deleted" in caught.value.remedy


def test_a_database_whose_pages_are_overwritten_is_an_error(tmp_path):
    encode(FakeBatchEncoder(), tmp_path)
    path = tmp_path / "fake.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(StoreError, match="malformed"):
        encode(FakeBatchEncoder(), tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be used"):
        encode(FakeBatchEncoder(), tmp_path / "file")


def test_a_deleted_cache_is_computed_again(tmp_path):
    first = encode(FakeBatchEncoder(), tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    encoder = FakeBatchEncoder()
    assert_same(encode(encoder, tmp_path), first)
    assert encoder.encoded == len(PASSAGES)


# ------------------------------------------------------------------------------------------------------ hidden states


STATES = (HiddenState(1), HiddenState(2))


def test_hidden_states_stand_side_by_side_and_are_read_once_ever(tmp_path):
    first, second = FakeBatchEncoder(), FakeBatchEncoder()
    found = CachedEncoder(first, tmp_path).hidden_states(PASSAGES, STATES, progress=SILENT)
    assert found.vectors.shape == (len(PASSAGES), 6)
    expected = [numbers_of(each.context + each.text) + 1 for each in PASSAGES]
    np.testing.assert_allclose(found.vectors[:, 0], expected, rtol=2**-11)
    np.testing.assert_allclose(found.vectors[:, 3], np.array(expected) + 1, rtol=2**-11)
    again = CachedEncoder(second, tmp_path).hidden_states(PASSAGES, STATES[::-1], progress=SILENT)
    assert second.encoded == 0
    np.testing.assert_array_equal(again.vectors, np.hstack([found.vectors[:, 3:], found.vectors[:, :3]]))


def test_one_pass_over_a_response_gives_its_sentence_embedding_too(tmp_path):
    alone = [passage for passage in PASSAGES if not passage.context]
    encoder = FakeBatchEncoder()
    CachedEncoder(encoder, tmp_path).hidden_states(alone, STATES, progress=SILENT)
    assert {sentence for sentence, _ in encoder.asked} == {True}
    later = FakeBatchEncoder()
    encode(later, tmp_path, alone)
    assert later.encoded == 0


def test_of_a_text_in_its_context_no_more_is_read_than_was_asked_for(tmp_path):
    encoder = FakeBatchEncoder()
    inside = [passage for passage in PASSAGES if passage.context]
    CachedEncoder(encoder, tmp_path).hidden_states(inside, STATES[:1], progress=SILENT)
    assert set(encoder.asked) == {(False, STATES[:1])}


def test_the_states_that_the_probe_looks_at_come_with_an_embedding(tmp_path):
    encoder = FakeBatchEncoder()
    CachedEncoder(encoder, tmp_path, companions=lambda: STATES).encode(PASSAGES, progress=SILENT)
    assert set(encoder.asked) == {(True, STATES)}
    later = FakeBatchEncoder()
    CachedEncoder(later, tmp_path).hidden_states(PASSAGES, STATES, progress=SILENT)
    assert later.encoded == 0


def test_what_is_kept_stays_when_a_layer_is_added(tmp_path):
    first = CachedEncoder(FakeBatchEncoder(), tmp_path).hidden_states(PASSAGES[:3], STATES[:1], progress=SILENT)
    both = CachedEncoder(FakeBatchEncoder(), tmp_path).hidden_states(PASSAGES, STATES, progress=SILENT)
    np.testing.assert_array_equal(both.vectors[:3, :3], first.vectors)
    kept = CachedEncoder(FakeBatchEncoder(), tmp_path).hidden_states(PASSAGES, STATES, progress=SILENT)
    assert_same(kept, both)
