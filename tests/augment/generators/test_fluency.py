"""Fluency: what a causal model makes of a text in its place, the same in any batch."""

import math
from pathlib import Path

import numpy as np
import pytest
from tiny_causal import save_tiny_causal

from mars_engine.augment.generators.causal.fluency import FluencyMeter, load_meter
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Passage, Turn

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("one_thread")]

SILENT = SilentProgress()
PROMPT = (Turn("user", "You rewrite texts?"),)


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> FluencyMeter:
    folder = save_tiny_causal(tmp_path_factory.mktemp("models") / "tiny")
    return load_meter(folder, max_tokens=64, device="cpu")


def test_the_figure_is_the_mean_log_probability_of_each_token_after_all_before(meter):
    import torch

    context = meter.passages.context_of(PROMPT)
    text = "Answer with one object."
    before = meter.tokenizer(context, add_special_tokens=False)["input_ids"]
    tokens = meter.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(tokens) > 2
    by_hand = []
    for place, token in enumerate(tokens):
        with torch.inference_mode():
            logits = meter.model(torch.tensor([before + tokens[:place]])).logits[0, -1]
        by_hand.append(float(logits.log_softmax(dim=0)[token]))
    (found,) = meter.measure([Passage(text, context)], progress=SILENT)
    assert found == pytest.approx(math.fsum(by_hand) / len(by_hand), abs=1e-5)


def test_neither_the_batch_nor_the_order_changes_a_figure_and_the_context_does(meter):
    context = meter.passages.context_of(PROMPT)
    passages = [Passage("Answer with one object.", context), Passage("texts"), Passage("Answer with one object.")]
    passages += [Passage("You rewrite texts for research on preference data.", context), Passage("", context)]
    together = meter.measure(passages, progress=SILENT)
    alone = [meter.measure([each], progress=SILENT)[0] for each in passages]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(meter.measure(passages[::-1], progress=SILENT)[::-1], together, atol=1e-5)
    assert np.isnan(together).tolist() == [False, False, False, False, True]
    assert together[0] != together[2]


def test_nothing_to_measure_gives_nothing(meter):
    assert meter.measure([], progress=SILENT).shape == (0,)


def test_the_packaged_model_finds_words_in_disorder_less_fluent(packaged_lm_folder: Path):
    meter = load_meter(packaged_lm_folder, max_tokens=256, device="cpu")
    context = meter.passages.context_of((Turn("user", "How do I care for tomatoes?"),))
    whole = (
        "Keep the tomatoes in the sun, and give them some water in the morning.",
        "Most people give too much water, and then the roots rot.",
        "The soil should be damp but never wet.",
    )
    generator = np.random.default_rng(0)
    broken = [" ".join(generator.permutation(text.split())) for text in whole]
    found = meter.measure([Passage(text, context) for text in (*whole, *broken)], progress=SILENT)
    assert (found[:3] - found[3:] > 1).all()
