"""Our figures against those that the package alpaca_eval 0.6.6 computed of the same annotations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mars_engine.align.alpaca.formats import Annotation, load_annotations
from mars_engine.align.alpaca.length_control import LengthControlled, control_length
from mars_engine.align.alpaca.tables import LengthTables, load_tables
from mars_engine.align.alpaca.win_rate import count_wins

pytestmark = pytest.mark.realdata
CLOSE = 1e-6


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "alpaca-eval"


@pytest.fixture(scope="module")
def official(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


@pytest.fixture(scope="module")
def annotations(folder: Path) -> tuple[Annotation, ...]:
    return load_annotations(folder / "annotations.json")


@pytest.fixture(scope="module")
def tables(folder: Path) -> LengthTables:
    return load_tables(folder)


def test_win_rate_standard_error_counts_and_discrete_win_rate(annotations, official):
    found = count_wins(np.array([each.probability for each in annotations]), rng=np.random.default_rng(0))

    expected = official["get_winrate"]
    for name in ("win_rate", "standard_error", "discrete_win_rate"):
        assert getattr(found, name) == pytest.approx(expected[name], abs=CLOSE)
    for name in ("n_wins", "n_wins_base", "n_draws", "n_total"):
        assert getattr(found, name) == expected[name]
    assert found.n_failed == 2


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("length_controlled_v1", "v1"),
        ("length_controlled_noreg", "no gamed runs"),
        ("length_controlled_minimal", "minimal"),
    ],
)
def test_length_controlled_win_rate_in_each_variant(annotations, tables, official, name, variant):
    difficulties = tables.difficulties_of(np.arange(len(annotations)))
    found = controlled(
        annotations,
        difficulties=None if variant == "minimal" else difficulties,
        gamed=tables.gamed if variant == "v1" else None,
    )

    expected = official[name]
    weights = expected["weights"]
    assert found.variant == variant
    assert found.win_rate == pytest.approx(expected["length_controlled_winrate"], abs=CLOSE)
    assert found.spread == pytest.approx(expected["lc_standard_error"], abs=CLOSE)
    assert found.predict(difficulties)[:3] == pytest.approx(expected["first_glm_preferences"], abs=CLOSE)
    assert found.length_weight == pytest.approx(weights["np.tanh(std_delta_len)"], abs=CLOSE)
    assert found.difficulty_weight == pytest.approx(weights.get("instruction_difficulty", 0), abs=CLOSE)
    assert found.policy_weight == pytest.approx(weights["not_gamed_baseline.astype(float)"], abs=CLOSE)


def controlled(annotations: tuple[Annotation, ...], **known: Any) -> LengthControlled:
    preferences, differences = np.array([[each.probability, each.length_difference] for each in annotations]).T
    return control_length(preferences, differences, rng=np.random.default_rng(0), resamples=20, **known)
