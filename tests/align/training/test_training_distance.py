"""How far answers lie from training responses, by their k-th nearest neighbour."""

from collections.abc import Sequence

import numpy as np
import pytest
from fakes import BagOfWordsEncoder

from mars_engine.align.training import training_distance
from mars_engine.align.training.training_distance import NEIGHBOUR, TrainingDistance, draw_responses
from mars_engine.core.progress import Progress, SilentProgress
from mars_engine.core.records import Embeddings, Pair, Passage


class Compass(BagOfWordsEncoder):
    """Embeds a number of degrees as the point on the unit circle."""

    def encode(self, passages: Sequence[Passage], *, progress: Progress) -> Embeddings:  # noqa: ARG002
        turns = np.radians([float(each.text) for each in passages])
        nothing = np.zeros(len(passages), dtype=np.int64)
        return Embeddings(np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32), nothing, nothing)


def measure(responses: Sequence[str], texts: Sequence[str]) -> list[float]:
    distance = TrainingDistance.of(Compass(), responses, progress=SilentProgress())
    return distance.measure(texts).tolist()


def test_it_is_the_chord_to_the_kth_nearest_response() -> None:
    responses = [str(degrees) for degrees in range(0, 20)]
    # of 0 the tenth nearest is 9; of 180 they are 19, 18, …, 10
    chords = [2 * np.sin(np.radians(degrees) / 2) for degrees in (NEIGHBOUR - 1, 170)]
    assert measure(responses, ["0", "180"]) == pytest.approx(chords, abs=1e-6)


def test_of_few_responses_the_last_counts() -> None:
    assert measure(["0", "90"], ["0", "180"]) == pytest.approx([2**0.5, 2.0], abs=1e-6)


def test_an_empty_answer_is_as_far_as_the_farthest_other() -> None:
    assert measure(["0"], ["90", " ", "180"]) == pytest.approx([2**0.5, 2.0, 2.0], abs=1e-6)


def test_of_many_responses_some_are_drawn_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [Pair.of((), f"good {number}", "bad") for number in range(30)]
    assert draw_responses(pairs, seed=1)[:3] == ("good 0", "bad", "good 1")
    assert len(draw_responses(pairs, seed=1)) == 31
    monkeypatch.setattr(training_distance, "MOST_RESPONSES", 10)
    drawn = draw_responses(pairs, seed=1)
    assert len(set(drawn)) == 10
    assert draw_responses(pairs, seed=1) == drawn
    assert draw_responses(pairs, seed=2) != drawn
