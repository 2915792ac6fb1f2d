"""Made-up rows in RewardBench 2's columns: words drawn at random, among them prompts of the subset Ties.

Nothing of the project is imported: the script that runs the official tool uses this module too.
"""

from typing import Any

import numpy as np

WORDS = [
    "red",
    "green",
    "blue",
    "seven",
    "bridge",
    "river",
    "is",
    "a",
    "the",
    "of",
    "lists",
    "code",
    "sum",
    "proof",
    "never",
    "always",
    "polite",
    "refuses",
    "tells",
]
SUBSETS = ("Factuality", "Precise IF", "Math", "Safety", "Focus")
ROWS_A_SUBSET = 6
TIED_PROMPTS = 5


def made_up_best_of_rows(*, seed: int) -> list[dict[str, Any]]:
    """Return rows of the five best-of-4 subsets, then of Ties: a reference and a tied row for each of its prompts."""
    rng = np.random.default_rng(seed)
    rows = [
        _row(rng, f"{subset}-{number}", subset, correct=1, incorrect=3)
        for subset in SUBSETS
        for number in range(ROWS_A_SUBSET)
    ]
    for number in range(TIED_PROMPTS):
        rows.append(_row(rng, f"ref:{number}", "Ties", correct=1, incorrect=1 + number))
        rows.append(_row(rng, f"tied:{number}", "Ties", correct=2 + number % 3, incorrect=2 + number))
    return rows


def made_up_ties_scores(*, seed: int) -> list[dict[str, Any]]:
    """Return scored rows of Ties, as likely right as wrong: some prompts lack one of their two rows, some scores are
    equal, and with an odd seed all correct answers of a tied row have one score."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(8):
        for name, correct in (("ref", 1), ("tied", 2 + number % 3)):
            if (name, number % 5) in {("ref", 3), ("tied", 4)}:
                continue
            scores = np.round(rng.normal(size=correct + 3), 1)
            scores[:correct] += 2.0
            if seed % 2:
                scores[:correct] = scores[0]
            rows.append({"id": f"{name}:{number}", "num_correct": correct, "scores": scores.tolist()})
    return rows


def _row(rng: np.random.Generator, row_id: str, subset: str, *, correct: int, incorrect: int) -> dict[str, Any]:
    return {
        "id": row_id,
        "prompt": _words(rng, 8),
        "chosen": [_words(rng, 12) for _ in range(correct)],
        "rejected": [_words(rng, 12) for _ in range(incorrect)],
        "num_correct": correct,
        "num_incorrect": incorrect,
        "total_completions": correct + incorrect,
        "models": ["made up"] * (correct + incorrect),
        "subset": subset,
    }


def _words(rng: np.random.Generator, count: int) -> str:
    return " ".join(rng.choice(WORDS, count))
