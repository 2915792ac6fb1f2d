"""What is told of a probe's choice: one row for each way of reading, the chosen one marked, and the card beside it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from fakes import BagOfWordsEncoder, ListSource, make_bench, make_pairs
from safetensors.numpy import load_file

from mars_engine.core.config import ProbeConfig
from mars_engine.core.errors import ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import DatasetRecord, ModelEvidence, ModelRecord, TrainingSet
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.choice_summary import (
    CHOICE_METRIC,
    Alternative,
    ChoiceSummary,
    row_of,
    say_choice,
    summarize_choice,
    summary_of,
)
from mars_engine.reward_models.feature_choice import Candidate, FeatureChoice
from mars_engine.reward_models.features import ProbeFeatures, Reading, TextStates
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.reward_models.protocols import FeatureChoosingModel
from mars_engine.reward_models.shelf import WEIGHTS_FILE, ProbeShelf
from mars_engine.reward_models.train import train_warm_up

SILENT = SilentProgress()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVIDENCE = ModelEvidence((DatasetRecord("d", "a|b", "a.jsonl", "trl", "train", "hash", NOW, 60),), 40, 0.625, 0.6789)


def tried(reading: Reading, layers: tuple[int, ...], l2: float, log_loss: float, pairs: int = 500) -> Candidate:
    return Candidate(TextStates(reading, "mean", layers), l2, log_loss, 0.6, pairs)


def made(candidates: tuple[Candidate, ...], *, layers: tuple[int, ...], l2: float) -> FeatureChoice:
    features = ProbeFeatures(TextStates("response", "mean", layers), np.ones(3))
    return FeatureChoice(features, l2, "for", "of", "chosen by 5-fold cross-validation over 9 prompts", candidates)


def test_each_way_of_reading_has_the_penalty_that_served_it_best_and_the_chosen_one_its_own():
    candidates = (
        tried("response", (1,), 0.1, 0.65),
        tried("response", (1,), 0.01, 0.64),
        tried("response", (3, 5), 0.1, 0.60),
        tried("response", (3, 5), 0.01, 0.61),
        tried("response", (3, 5), 0.01, 0.50, pairs=200),
        tried("response", (3, 5), 0.1, 0.52, pairs=200),
        tried("context", (3, 5), 0.1, 0.55, pairs=200),
        tried("response", (), 0.1, 0.66),
        tried("response", (), 0.01, 0.66),
    )
    # The further draws of the folds chose a penalty that was second under the first one.
    summary = summarize_choice(made(candidates, layers=(3, 5), l2=0.01))
    rows = [(each.layers, each.reading, each.l2, each.pairs, each.chosen) for each in summary.alternatives]
    assert rows == [
        ((3, 5), "response", 0.01, 500, True),
        ((1,), "response", 0.01, 500, False),
        ((), "response", 0.1, 500, False),
        ((3, 5), "response", 0.01, 200, False),
        ((3, 5), "context", 0.1, 200, False),
    ]


@pytest.mark.parametrize(
    ("layers", "reading", "pooling", "says"),
    [
        ((3, 5), "response", "mean", "reads the mean of the response's tokens at layers 3 and 5 of the encoder"),
        ((1, 2, 4), "all", "last", "reads the last of all tokens of prompt and response at layers 1, 2 and 4"),
        ((2,), "context", "mean", "reads the mean of the response's tokens, which follow its prompt, at layer 2 of"),
        ((), "context", "mean", "reads the sentence embedding of the response after its prompt, with"),
        ((), "response", "mean", "reads the sentence embedding of the response, with the penalty 0.003, as"),
    ],
)
def test_it_is_said_in_words(layers, reading, pooling, says):
    summary = ChoiceSummary(layers, reading, pooling, 0.003, "as the settings fix them", ())
    assert say_choice(summary).startswith(says)
    assert say_choice(summary).endswith("with the penalty 0.003, as the settings fix them")


def test_a_row_says_which_is_chosen():
    alternative = Alternative((3, 5), "response", 0.003, 0.6012, 0.65432, 1995, chosen=True)
    assert row_of(alternative) == ("3 and 5 (chosen)", "response alone", "0.6543", "60.1%", "0.003", "1,995")
    assert row_of(replace(alternative, layers=(), chosen=False))[0] == "sentence"


def test_a_trained_probes_record_keeps_the_choice_and_another_models_has_none():
    bench = make_bench()
    source = ListSource(make_pairs(60), name="pairs")
    import_pairs(source, bench.store, split="train", clock=bench.clock, progress=SILENT)
    record = train_warm_up(bench)
    probe = bench.shelf.load(record)
    assert isinstance(probe, FeatureChoosingModel)
    stored = bench.store.models.get(record.id)
    assert json.loads(json.dumps(record.metrics[CHOICE_METRIC])) == stored.metrics[CHOICE_METRIC]
    assert summary_of(stored) == summary_of(record) == summarize_choice(probe.choice)
    assert [each.chosen for each in summary_of(stored).alternatives].count(True) == 1
    metrics = {name: value for name, value in record.metrics.items() if name != CHOICE_METRIC}
    assert summary_of(replace(record, metrics=metrics)) is None


# ----------------------------------------------------------------------------------------------------------- the card


def shelve(root, config: ProbeConfig) -> tuple[ProbeShelf, Probe, ModelRecord]:
    trainer = ProbeTrainer(config, BagOfWordsEncoder())
    probe = trainer.train(TrainingSet.plain(make_pairs(60)), progress=SILENT)
    shelf = ProbeShelf(root, root / "models", trainer)
    metrics = {"training_pairs": 60, "training_accuracy": 0.75, CHOICE_METRIC: probe.feature_choice}
    return shelf, probe, ModelRecord(probe.id, "probe", "warm-up", {}, metrics, shelf.save(probe), "", 0, NOW)


def test_the_card_says_what_it_learned_from_and_reads_and_is_worth(tmp_path):
    shelf, probe, record = shelve(tmp_path, ProbeConfig())
    shelf.describe(record, EVIDENCE)
    card = (tmp_path / record.artifact / "README.md").read_text(encoding="utf-8")
    assert "fitted on 60 preference pairs, of which it ranks 75.0% the right way round" in card
    assert f"It {probe.remarks[0]}." in card
    for alternative in summarize_choice(probe.choice).alternatives:
        assert f"| {' | '.join(row_of(alternative))} |" in card
    assert "| `a/b` | train | 60 | hash |" in card
    assert "On the 40 held-out pairs it ranks 62.5% the right way round, with a mean log-loss of 0.6789." in card
    shelf.describe(record, replace(EVIDENCE, heldout_pairs=0))
    card = (tmp_path / record.artifact / "README.md").read_text(encoding="utf-8")
    assert card.count("## Pairs and figures") == 1
    assert "There were no held-out pairs" in card
    assert sorted(path.name for path in (tmp_path / record.artifact).iterdir())[0] == "README.md"


def test_where_nothing_was_compared_the_card_has_no_table(tmp_path):
    shelf, _, record = shelve(tmp_path, ProbeConfig(reading="response", layers="sentence", l2=0.02))
    shelf.describe(record, EVIDENCE)
    card = (tmp_path / record.artifact / "README.md").read_text(encoding="utf-8")
    assert "with the penalty 0.02, as the settings fix them." in card
    assert "best penalty" not in card


def test_the_reward_is_computed_from_the_files_as_the_card_says(tmp_path):
    _, probe, record = shelve(tmp_path, ProbeConfig(layers="sentence"))
    files = load_file(tmp_path / record.artifact / WEIGHTS_FILE)
    pairs = make_pairs(8, seed=4)
    states = probe.features.text.of(probe.encoder, pairs, progress=SILENT).chosen
    rewards = (states / (files["scale"] * np.sqrt(states.shape[1]))) @ files["weights"]
    np.testing.assert_allclose(rewards, probe.score(pairs, progress=SILENT).chosen, rtol=1e-12)


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_probe_is_whole_whatever_became_of_its_card(tmp_path, content):
    shelf, probe, record = shelve(tmp_path, ProbeConfig())
    shelf.describe(record, EVIDENCE)
    card = tmp_path / record.artifact / "README.md"
    card.unlink() if content is None else card.write_bytes(content)
    assert shelf.holds(record)
    pairs = make_pairs(5)
    expected = probe.score(pairs, progress=SILENT).chosen
    np.testing.assert_array_equal(shelf.load(record).score(pairs, progress=SILENT).chosen, expected)
    shelf.describe(record, EVIDENCE)
    assert card.read_text(encoding="utf-8").startswith(f"# Reward model {probe.id}")


def test_a_card_that_cannot_be_written_leaves_the_earlier_one(tmp_path, monkeypatch):
    shelf, _, record = shelve(tmp_path, ProbeConfig())
    shelf.describe(record, EVIDENCE)
    folder = tmp_path / record.artifact
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(self, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(ModelError, match=r"README.md cannot be written: .*No space left"):
        shelf.describe(record, replace(EVIDENCE, heldout_pairs=0))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
