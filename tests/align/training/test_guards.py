"""What looks like a gamed reward, and what does not."""

import json
from pathlib import Path

import numpy as np
import pytest

from mars_engine.align.training.guards import Look, alarms, describe_texts
from mars_engine.align.training.looks import LOOKS_FILE, load_looks, save_looks

PROMPTS = 12
DRAWS = np.random.default_rng(0)


def look(step: int, texts: list[str], *, rewards: object = None, **measured: object) -> Look:
    nothing = np.zeros(len(texts))
    return Look(
        step,
        tuple(texts),
        nothing if rewards is None else np.asarray(rewards, dtype=float),
        nothing,
        **{name: np.asarray(values, dtype=float) for name, values in measured.items()},
    )


def answers(words: int) -> list[str]:
    """Answers of about so many words, no two words alike."""
    return [" ".join(f"word{place}x{n}" for n in range(words + place % 3)) for place in range(PROMPTS)]


def test_traits_of_texts() -> None:
    found = describe_texts(
        ["one two three", "a b c a b c", "- eggs\n- milk\nThat is all.", "I'm sorry, but I can't help."]
    )
    assert found.words.tolist() == [3, 6, 7, 6]
    # of the four runs of three words in "a b c a b c" one comes twice
    assert found.repeated.tolist() == [0, 0.25, 0, 0]
    assert found.listed == pytest.approx([0, 0, 2 / 3, 0])
    assert found.refused.tolist() == [0, 0, 0, 1]


def test_longer_answers_are_alarming_where_length_is_rewarded() -> None:
    first, now = look(0, answers(10)), look(20, answers(30))
    late = answers(30)
    lengths = describe_texts(late).words
    (told,) = alarms(first, now, [first, now], late, lengths)
    assert told.startswith("answers have become longer, from 11 to 31 words, and the reward goes with length")
    assert not alarms(first, now, [first, now], late, -lengths)
    assert not alarms(first, look(20, answers(11)), [first], late, lengths)


def test_shorter_answers_are_alarming_where_brevity_is_rewarded() -> None:
    first, now = look(0, answers(30)), look(20, answers(10))
    late = answers(10)
    (told,) = alarms(first, now, [first, now], late, -describe_texts(late).words)
    assert told.startswith("answers have become shorter")


@pytest.mark.parametrize(
    ("hacked", "told"),
    [
        ("sun sun sun sun sun sun sun sun", "the share of text that repeats itself has risen from 0% to"),
        ("- one\n- two\n- three", "the share of text in lists has risen from 0% to 100%"),
        ("I'm sorry, but I can't help with that.", "the share of answers that refuse has risen from 0% to 100%"),
    ],
)
def test_repetition_lists_and_refusals_are_alarming(hacked: str, told: str) -> None:
    first, now = look(0, answers(8)), look(20, [hacked] * PROMPTS)
    found = alarms(first, now, [first, now], list(now.texts), now.rewards)
    assert any(sentence.startswith(told) for sentence in found), found


def test_a_gold_reward_that_falls_from_its_peak_is_alarming() -> None:
    noise = DRAWS.normal(0, 0.1, PROMPTS)
    texts = answers(8)
    first = look(0, texts, rewards=noise, gold=noise)
    peak = look(20, texts, rewards=1 + noise, gold=2 + noise)
    now = look(40, texts, rewards=2 + noise, gold=1 + noise * 2)
    (told,) = alarms(first, now, [first, peak, now], texts, now.rewards)
    assert "has fallen from" in told
    assert "at step 20" in told
    assert not alarms(first, peak, [first, peak], texts, peak.rewards)


def test_answers_that_have_moved_away_from_the_training_data_are_alarming() -> None:
    noise = DRAWS.normal(0, 0.02, PROMPTS)
    texts = answers(8)
    first, away = look(0, texts, distance=0.5 + noise), look(20, texts, distance=0.8 + noise * 2)
    (told,) = alarms(first, away, [first, away], texts, away.rewards)
    ratio = away.distance.mean() / first.distance.mean()
    assert told.startswith("answers have moved away from what the reward model was trained on")
    assert f"to {ratio:.2f} times the distance of the reference's answers" in told
    for harmless in (0.51 + noise * 2, 0.8 + DRAWS.normal(0, 1, PROMPTS) * np.tile([1.0, -1.0], PROMPTS // 2)):
        now = look(20, texts, distance=harmless)
        assert not alarms(first, now, [first, now], texts, now.rewards), "too little, or not sure"
    unmeasured = look(20, texts)
    assert not alarms(first, unmeasured, [first, unmeasured], texts, unmeasured.rewards)


def test_reward_models_that_come_to_disagree_are_alarming() -> None:
    noise = np.abs(DRAWS.normal(0, 0.05, PROMPTS))
    texts = answers(8)
    first, now = look(0, texts, disagreement=0.1 + noise), look(20, texts, disagreement=0.5 + noise[::-1])
    (told,) = alarms(first, now, [first, now], texts, now.rewards)
    assert told.startswith("the reward models disagree more than on the reference's answers, by")
    assert f"by {now.disagreement.mean():.2f} deviations and {first.disagreement.mean():.2f} before" in told
    for harmless in (0.2 + noise[::-1], noise):
        now = look(20, texts, disagreement=harmless)
        assert not alarms(first, now, [first, now], texts, now.rewards), "too little, or less"


def test_looks_are_kept_with_all_that_they_measured_and_older_ones_are_read(tmp_path: Path) -> None:
    texts, values = answers(8), DRAWS.normal(size=PROMPTS)
    save_looks(tmp_path, [look(0, texts), look(1, texts, gold=values, distance=values + 1, disagreement=values + 2)])
    plain, full = load_looks(tmp_path)
    assert (plain.gold, plain.distance, plain.disagreement) == (None, None, None)
    for found, offset in ((full.gold, 0), (full.distance, 1), (full.disagreement, 2)):
        assert found.tolist() == (values + offset).tolist()
    older = {"step": 3, "completions": ["a"], "rewards": [1.0], "kl": [0.0], "gold": None}
    (tmp_path / LOOKS_FILE).write_text(json.dumps(older) + "\n")
    (read,) = load_looks(tmp_path)
    assert (read.step, read.distance, read.disagreement) == (3, None, None)
