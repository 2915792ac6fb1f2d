"""Best of eight models' recorded answers: what is left out, and the picks of chance, of length and of the oracle."""

import numpy as np
import pytest

from benchmarks.best_of_n import load_data
from mars_engine.align.best_of_n import LONGEST, ORACLE, RecordedPreferences, best_of_n
from mars_engine.align.policies import PolicyAnswers
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.progress import SilentProgress

pytestmark = pytest.mark.realdata


def test_the_figures_of_the_docs_that_need_no_model(real_data):
    data = load_data(real_data)
    assert data.summary == (
        "200 prompts with 8 answers; of 1,784 training pairs 782 share a prompt with them and are left out, 1,002 of "
        "254 prompts remain"
    )
    asked = {row.prompt_id for row in data.rows}
    assert not asked & {pair.prompt_id for pair in data.pairs}
    report = best_of_n(
        PolicyAnswers("recorded", data.rows, {}),
        {},
        RecordedPreferences(),
        config=EvaluateConfig(resamples=500),
        progress=SilentProgress(),
    )
    assert report.random.estimate == pytest.approx(1.103, abs=5e-4)
    gains = {curve.selector: [point.gain.estimate for point in curve.points] for curve in report.curves}
    assert gains[LONGEST] == pytest.approx([0, 0.049, 0.120, 0.223], abs=6e-4)
    assert gains[ORACLE] == pytest.approx([0, 0.077, 0.192, 0.354], abs=6e-4)
    best = np.max([[answer.preference for answer in row.answers] for row in data.rows], axis=1)
    assert report.random.estimate + gains[ORACLE][-1] == pytest.approx(best.mean())
