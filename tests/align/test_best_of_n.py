"""Best-of-n from answers to curves: who picks, who judges, when the reward is over-optimised, and what is refused."""

import zlib

import numpy as np
import pytest

from mars_engine.align.answers import Answer, AnsweredPrompt
from mars_engine.align.best_of_estimator import best_of
from mars_engine.align.best_of_n import (
    BOUND,
    LONGEST,
    ORACLE,
    GoldRewards,
    RecordedPreferences,
    best_of_n,
    rewards_of,
    selection_curve,
)
from mars_engine.align.policies import PolicyAnswers
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import LoadError, ModelError, NotReadyError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Rewards, Turn

SILENT = SilentProgress()
CONFIG = EvaluateConfig(resamples=500)


class WordRewards:
    """Rewards a text by a function of it, each side of a pair by itself."""

    id = "words"

    def __init__(self, reward):
        self.reward = reward

    def score(self, pairs, *, progress):  # noqa: ARG002
        chosen, rejected = ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])
        return Rewards(*(np.array([self.reward(text) for text in side]) for side in (chosen, rejected)))


def quality(text):
    return float(text.split()[0])


def make_rows(prompts=40, answers=8, seed=0, models=("m",)):
    """Return answers that begin with their quality and go on for a random length."""
    rng = np.random.default_rng(seed)
    return tuple(
        AnsweredPrompt(
            (Turn("user", f"prompt {number}"),),
            tuple(
                Answer(f"{worth:.3f}{' word' * rng.integers(1, 20)}", models[place % len(models)], round(worth, 3))
                for place, worth in enumerate(rng.normal(size=answers))
            ),
        )
        for number in range(prompts)
    )


def run(rows, judge=None, left_out=None, **rewards):
    models = {name: WordRewards(reward) for name, reward in rewards.items()}
    answered = PolicyAnswers("policy", rows, left_out or {})
    return best_of_n(answered, models, judge or RecordedPreferences(), config=CONFIG, progress=SILENT)


@pytest.mark.parametrize("answers", [2, 3, 8])
def test_rewards_are_those_of_each_answer_however_many_there_are(answers):
    rows = make_rows(5, answers)
    found = rewards_of(WordRewards(quality), rows, name="words", progress=SILENT)
    assert found.tolist() == [[answer.preference for answer in row.answers] for row in rows]


def test_a_model_that_knows_the_quality_is_the_oracle_and_noise_is_chance():
    report = run(make_rows(), good=quality, noise=lambda text: float(zlib.crc32(text.encode())))
    curves = {curve.selector: curve for curve in report.curves}
    assert list(curves) == ["good", "noise", LONGEST, ORACLE]
    assert curves["good"].points == curves[ORACLE].points
    assert [point.n for point in curves["good"].points] == [1, 2, 4, 8]
    gains = [point.gain.estimate for point in curves["good"].points]
    assert gains[0] == pytest.approx(0, abs=1e-12)
    assert gains == sorted(gains)
    assert curves["good"].points[-1].gain.excludes_zero
    assert not curves["noise"].points[-1].gain.excludes_zero
    assert curves["good"].points[-1].judged.estimate == pytest.approx(report.random.estimate + gains[-1])
    assert (report.prompts, report.answers, report.judge) == (40, 8, "recorded preferences")
    assert BOUND in report.remarks


def test_every_curve_begins_at_a_random_answer_and_its_proxy_rises():
    report = run(make_rows(), bad=lambda text: -quality(text))
    for curve in report.curves:
        assert curve.points[0].judged == report.random
        assert curve.points[0].kl_bound == curve.points[0].root_kl == 0
        proxies = [point.proxy.estimate for point in curve.points]
        assert proxies == sorted(proxies)


def test_a_reward_that_is_right_at_first_and_wrong_at_the_end_is_over_optimised():
    """Up to a point the reward and the quality rise together; the highest rewards are given to the worst answers."""
    rng = np.random.default_rng(1)
    rewards = rng.permuted(np.tile(np.arange(64.0), (100, 1)), axis=1)
    judged = np.where(rewards >= 60, -40.0, rewards) + rng.normal(size=rewards.shape)
    curve = selection_curve("reward", rewards, judged, (1, 2, 4, 8, 16, 32, 64), CONFIG)
    assert 1 < curve.peak_n < 64
    assert curve.is_over_optimised
    assert curve.change_after_peak.estimate == pytest.approx(
        float((best_of(rewards, judged, 64) - best_of(rewards, judged, curve.peak_n)).mean())
    )
    honest = selection_curve("reward", rewards, rewards, (1, 2, 4, 8), CONFIG)
    assert (honest.peak_n, honest.is_over_optimised) == (8, False)
    assert honest.change_after_peak.estimate == 0


def test_over_optimisation_is_said_in_words():
    report = run(make_rows(60, 8), wrong=lambda text: -quality(text))
    assert any("wrong is over-optimised" in remark and "n = 1 " in remark for remark in report.remarks)
    assert not any("over-optimised" in remark for remark in run(make_rows(60, 8), right=quality).remarks)


def test_length_is_no_reward_and_not_said_to_be_over_optimised():
    rows = tuple(
        AnsweredPrompt(
            (Turn("user", f"prompt {number}"),),
            tuple(Answer("x" * (length + number), "m", -float(length)) for length in range(1, 9)),
        )
        for number in range(60)
    )
    report = run(rows, flat=lambda _text: 0.0)
    assert {curve.selector for curve in report.curves if curve.is_over_optimised} == {LONGEST}
    assert not any("over-optimised" in remark for remark in report.remarks)


def test_a_gold_model_judges_where_nothing_is_recorded():
    rows = tuple(
        AnsweredPrompt(row.prompt, tuple(Answer(answer.text) for answer in row.answers)) for row in make_rows()
    )
    report = run(rows, GoldRewards("gold", WordRewards(quality)), proxy=quality)
    assert report.judge == "gold"
    assert report.curves[0].points == report.curves[-1].points
    with pytest.raises(LoadError, match=r"320 of 320 answers have no recorded preference.*--judge"):
        run(rows, proxy=quality)


def test_answers_of_several_models_and_what_was_left_out_are_said():
    report = run(make_rows(models=("m", "n")), left_out={"too long": 3}, good=quality)
    assert report.left_out == {"too long": 3}
    assert any("those of 2 models" in remark for remark in report.remarks)


def test_rewards_that_are_not_numbers_are_refused():
    worst = {answer.text for answer in make_rows()[0].answers}
    with pytest.raises(ModelError, match=r"8 of the 320 rewards of broken are not finite.*name another one"):
        run(make_rows(), broken=lambda text: float("nan") if text in worst else quality(text))


def test_no_prompt_and_single_answers_are_refused():
    with pytest.raises(NotReadyError, match=r"not one prompt is left to answer: too long \(3\)"):
        run((), left_out={"too long": 3})
    with pytest.raises(NotReadyError, match="one answer to each prompt"):
        run(make_rows(answers=1))
