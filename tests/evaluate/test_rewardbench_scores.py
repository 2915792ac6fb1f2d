"""RewardBench's figures: against the official package's own functions, and against a published aggregate."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mars_engine.evaluate.rewardbench_scores import (
    OVERALL_WEIGHTS,
    PRIOR_SETS,
    PUBLISHED_ROWS,
    PUBLISHED_ROWS_V2,
    SECTIONS,
    WEIGHTS,
    RatedAnswers,
    SubsetScore,
    aggregate_subsets,
    best_of_credit,
    overall_score,
    score_best_of,
    score_pairwise,
    section_of,
    ties_score,
)

OFFICIAL = json.loads((Path(__file__).parents[1] / "fixtures" / "rewardbench" / "official.json").read_text())
FUNCTIONS = OFFICIAL["functions"]
ARMORM = {"Chat": 0.969, "Chat Hard": 0.768, "Safety": 0.922, "Reasoning": 0.973, PRIOR_SETS: 0.743}


def subset(name: str, score: float, **changes) -> SubsetScore:
    published = PUBLISHED_ROWS.get(name, 0)
    return replace(SubsetScore(name, section_of(name), published, published, 0, score), **changes)


def rated(scores, *, correct=1, row_id="0", name="Math") -> RatedAnswers:
    return RatedAnswers(row_id, name, np.array(scores[:correct], dtype=float), np.array(scores[correct:], dtype=float))


def section_scores(scores) -> dict[str, float | None]:
    return {section.name: section.score for section in scores.sections}


# ----------------------------------------------------------------------------------------------------------- version 1


def test_the_constants_are_the_official_ones():
    assert FUNCTIONS["counts"] == WEIGHTS
    assert [name for names in SECTIONS.values() for name in names] == list(PUBLISHED_ROWS)
    assert sum(PUBLISHED_ROWS.values()) == 2985
    assert WEIGHTS["math-prm"] == sum(WEIGHTS[name] for name in SECTIONS["Reasoning"][1:])


@pytest.mark.parametrize("case", FUNCTIONS["sections"], ids=["all subsets", "some subsets"])
def test_sections_weigh_their_subsets_as_the_official_package_does(case):
    scores = aggregate_subsets([subset(*each) for each in case["accuracies"].items()], accuracy=0.0)
    for section, official in case["scores"].items():
        ours = section_scores(scores)[section]
        assert ours is None if official == 0 else ours == pytest.approx(official, abs=1e-12)


def test_a_published_aggregate_is_reproduced_from_its_sections():
    """ArmoRM-Llama3-8B-v0.1 on the leaderboard: 96.9, 76.8, 92.2, 97.3 and prior sets 74.3 make 89.0."""
    assert round(100 * overall_score(ARMORM), 1) == 89.0
    without_prior = {name: score for name, score in ARMORM.items() if name != PRIOR_SETS}
    assert overall_score(without_prior) == pytest.approx(np.mean(list(without_prior.values())))


def test_a_file_of_subset_scores_with_those_sections_makes_the_same_aggregate():
    names = [*PUBLISHED_ROWS, "anthropic_helpful", "anthropic_hhh", "shp", "summarize"]
    scores = aggregate_subsets([subset(name, ARMORM[section_of(name)]) for name in names], accuracy=0.0)
    assert section_scores(scores) == pytest.approx(ARMORM)
    assert round(100 * scores.overall, 1) == 89.0
    assert round(100 * scores.four_section_mean, 1) == 90.8
    assert scores.is_whole
    assert OVERALL_WEIGHTS == {"Chat": 2, "Chat Hard": 2, "Safety": 2, "Reasoning": 2, "Prior sets": 1}


def test_a_tie_is_a_loss_and_is_counted():
    scores = score_pairwise(["llmbar-natural"] * 4, np.array([1.0, 0.5, 0.0, 2.0]), np.array([0.0, 0.5, 1.0, 2.0]))
    (found,) = scores.subsets
    assert (found.score, found.ties, found.rows, found.section) == (0.25, 2, 4, "Chat Hard")
    assert (scores.accuracy, scores.ties) == (0.25, 2)


def test_a_part_of_the_benchmark_has_no_overall_score_and_says_what_is_missing():
    scores = score_pairwise(["llmbar-natural"] * 3 + ["mine"], np.ones(4), np.array([0.0, 0.0, 2.0, 0.0]))
    assert scores.overall is None
    assert scores.four_section_mean is None
    assert not scores.is_whole
    chat_hard = next(section for section in scores.sections if section.name == "Chat Hard")
    assert chat_hard.score == pytest.approx(2 / 3)
    assert set(chat_hard.missing) == set(SECTIONS["Chat Hard"]), "three rows are not the hundred published"
    assert section_scores(scores)["Chat"] is None
    mine = scores.subsets[-1]
    assert (mine.name, mine.section, mine.published_rows) == ("mine", "", 0)
    assert scores.accuracy == 0.75, "a subset of nobody's counts there alone"


def test_some_of_the_prior_sets_are_averaged_and_the_others_named():
    names = [*PUBLISHED_ROWS, "shp", "summarize"]
    scores = aggregate_subsets([subset(name, 1.0 if name == "shp" else 0.5) for name in names], accuracy=0.0)
    prior = scores.sections[-1]
    assert (prior.score, prior.missing) == (0.75, ("anthropic_helpful", "anthropic_hhh"))
    assert scores.is_whole, "prior sets are a benchmark of their own"


# ----------------------------------------------------------------------------------------------------------- version 2


def test_the_best_of_four_shares_a_tie_as_the_official_package_does():
    best_of = FUNCTIONS["best_of"]
    assert [best_of_credit(rated(scores)) for scores in best_of["scores"]] == pytest.approx(best_of["results"])


@pytest.mark.parametrize("case", FUNCTIONS["ties"])
def test_ties_are_scored_as_the_official_package_does(case):
    rows = [rated(row["scores"], correct=row["num_correct"], row_id=row["id"], name="Ties") for row in case["rows"]]
    assert ties_score(rows) == pytest.approx(case["score"], abs=1e-12)


def test_the_six_subsets_of_version_2_count_alike():
    right, wrong = [3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]
    rows = [rated(right, name=name) for name in ("Factuality", "Precise IF", "Math")]
    rows += [rated(wrong, name="Safety"), rated(right, name="Safety"), rated(wrong, name="Focus")]
    rows += [rated(right, row_id="ref:1", name="ties")]
    rows += [rated([3.0, 2.9, 0.0, -1.0], correct=2, row_id="tied:1", name="ties")]
    scores = score_best_of(rows)
    found = {each.name: each.score for each in scores.subsets}
    ties = 1 + 0.01 * np.tanh(1.0 / 0.1 - 1)
    assert found == pytest.approx(
        {"Factuality": 1, "Precise IF": 1, "Math": 1, "Safety": 0.5, "Focus": 0, "Ties": ties}
    )
    assert scores.overall == pytest.approx(np.mean(list(found.values())))
    assert scores.accuracy == pytest.approx(4 / 6), "rows of Ties are not right or wrong by themselves"
    assert not scores.is_whole


def test_a_missing_subset_leaves_no_overall_score_in_version_2():
    scores = score_best_of([rated([1.0, 1.0, 0.0], name="Math")])
    assert scores.overall is None
    assert scores.ties == 1
    assert {section.name for section in scores.sections if section.score is None} == set(PUBLISHED_ROWS_V2) - {"Math"}
