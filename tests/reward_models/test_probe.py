"""The probe: the fit against another solver, what it is invariant to, margins out of fold, and its files."""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fakes import DIMENSION, BagOfWordsEncoder, make_pairs
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression

from mars_engine.core.config import ProbeConfig
from mars_engine.core.errors import ModelError, NotReadyError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import (
    BoolArray,
    Embeddings,
    FloatArray,
    ModelRecord,
    Pair,
    Passage,
    Rewards,
    TrainingSet,
    Turn,
)
from mars_engine.embeddings.context import render_context
from mars_engine.reward_models.bradley_terry import fit_bradley_terry, refit_bradley_terry
from mars_engine.reward_models.feature_choice import DEFAULT_PENALTY, PENALTIES, choose_features
from mars_engine.reward_models.features import ProbeFeatures, TextStates, fit_scale
from mars_engine.reward_models.kept_choice import FileKeeper
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.reward_models.protocols import LinearRewardModel, RewardModelTrainer
from mars_engine.reward_models.shelf import SETTINGS_FILE, WEIGHTS_FILE, ProbeShelf
from mars_engine.stats.metrics import pairwise_accuracy, sigmoid

SILENT = SilentProgress()
L2 = 0.005
ENCODER = BagOfWordsEncoder()


@dataclass(frozen=True)
class Problem:
    """A fit to do: pairs' feature differences, weights and label confidence."""

    differences: FloatArray
    weights: FloatArray
    confidence: FloatArray

    def fit(self, l2: float = L2) -> FloatArray:
        return fit_bradley_terry(self.differences, self.weights, self.confidence, l2=l2)


@pytest.fixture
def problem() -> Problem:
    """Pairs that are not separable, unequally weighted, some with doubted or flipped labels."""
    rng = np.random.default_rng(3)
    differences = rng.normal(0.1, 0.5, (120, 10))
    confidence = rng.choice([1.0, 1.0, 1.0, 0.7, 0.5, 0.0], 120)
    return Problem(differences, rng.uniform(0.2, 3.0, 120), confidence)


def another_solver(problem: Problem, l2: float) -> FloatArray:
    """The same fit on mirrored data: each pair twice, as a win of Δφ and as a loss of −Δφ.

    The mirrored loss is twice the pairs' loss, so C·2·Σ w_i·loss_i + |w|²/2 has the minimum of
    Σ w_i·loss_i / Σ w_i + l2·|w|²/2 where C = 1 / (2·l2·Σ w_i).
    """
    differences, weights, confidence = problem.differences, problem.weights, problem.confidence
    rows = np.vstack([differences, differences, -differences, -differences])
    labels = np.repeat([1, 0, 0, 1], len(differences))
    row_weights = np.concatenate([weights * confidence, weights * (1 - confidence)] * 2)
    fit = LogisticRegression(
        C=1 / (2 * l2 * weights.sum()), fit_intercept=False, solver="lbfgs", tol=1e-10, max_iter=10_000
    )
    return fit.fit(rows, labels, sample_weight=row_weights).coef_[0]


# ------------------------------------------------------------------------------------------------------------ the fit


@pytest.mark.parametrize("l2", [0.1, L2, 1e-4])
def test_the_fit_is_what_another_solver_finds(problem, l2):
    rewards = problem.differences @ problem.fit(l2)
    np.testing.assert_allclose(rewards, problem.differences @ another_solver(problem, l2), atol=1e-5)


@pytest.mark.parametrize("l2", [0.1, L2, 1e-4])
def test_at_the_fit_the_gradient_of_the_documented_loss_is_zero(problem, l2):
    coefficients = problem.fit(l2)
    margins = problem.differences @ coefficients
    slopes = -problem.confidence * sigmoid(-margins) + (1 - problem.confidence) * sigmoid(margins)
    gradient = np.average(slopes[:, None] * problem.differences, axis=0, weights=problem.weights) + l2 * coefficients
    np.testing.assert_allclose(gradient, 0.0, atol=1e-8)


def test_separable_pairs_and_more_features_than_pairs_can_be_fitted():
    differences = np.random.default_rng(0).normal(size=(5, 40))
    ones = np.ones(5)
    coefficients = fit_bradley_terry(differences, ones, ones, l2=L2)
    assert (differences @ coefficients > 1).all()
    # w lies in the span of the differences, as any minimum with this penalty does
    np.testing.assert_allclose(coefficients, np.linalg.pinv(differences) @ differences @ coefficients, atol=1e-8)


def test_confidence_0_is_the_pair_with_its_sides_exchanged(problem):
    certain = problem.confidence.round()
    signs = np.where(certain == 1, 1.0, -1.0)[:, None]
    exchanged = Problem(problem.differences * signs, problem.weights, np.ones_like(certain))
    np.testing.assert_allclose(replace(problem, confidence=certain).fit(), exchanged.fit(), atol=1e-8)


def test_confidence_one_half_pulls_the_margin_to_0(problem):
    ambiguous = replace(problem, confidence=np.full(120, 0.5))
    np.testing.assert_allclose(ambiguous.fit(), 0.0, atol=1e-9)
    sure = replace(problem, confidence=np.ones(120))
    doubted = replace(
        sure, confidence=np.where(np.arange(120) == 7, 0.5, 1.0), weights=sure.weights + 50.0 * (np.arange(120) == 7)
    )
    before, after = (problem.differences[7] @ each.fit() for each in (sure, doubted))
    assert abs(after) < 0.2 * abs(before)


def test_smoothing_shrinks_margins_and_keeps_their_order(problem):
    sure, smoothed = (replace(problem, confidence=np.full(120, each)).fit() for each in (1.0, 0.8))
    assert np.linalg.norm(smoothed) < np.linalg.norm(sure)
    assert np.corrcoef(problem.differences @ sure, problem.differences @ smoothed)[0, 1] > 0.99


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_a_constant_factor_of_the_weights_changes_nothing(problem, factor):
    scaled = replace(problem, weights=factor * problem.weights)
    np.testing.assert_allclose(scaled.fit(), problem.fit(), atol=1e-7)


def test_doubling_every_pair_changes_nothing(problem):
    twice = Problem(
        *(np.concatenate([each, each]) for each in (problem.differences, problem.weights, problem.confidence))
    )
    np.testing.assert_allclose(twice.fit(), problem.fit(), atol=1e-8)


def test_a_weight_of_3_is_a_pair_given_3_times(problem):
    tripled = replace(problem, weights=np.where(np.arange(120) < 10, 3.0, 1.0))
    rows = np.concatenate([np.arange(120), np.arange(10), np.arange(10)])
    repeated = Problem(problem.differences[rows], np.ones(140), problem.confidence[rows])
    np.testing.assert_allclose(tripled.fit(), repeated.fit(), atol=1e-8)


def test_the_order_of_the_pairs_changes_nothing(problem):
    turned = Problem(problem.differences[::-1], problem.weights[::-1], problem.confidence[::-1])
    np.testing.assert_allclose(turned.fit(), problem.fit(), atol=1e-8)


def test_a_refit_begun_elsewhere_ends_at_the_same_fit(problem):
    rng = np.random.default_rng(5)
    start = refit_bradley_terry(problem.differences, rng.uniform(0.5, 2, 120), rng.choice([0.0, 1.0], 120), l2=0.02)
    again = refit_bradley_terry(problem.differences, problem.weights, problem.confidence, l2=0.02, before=start)
    cold = refit_bradley_terry(problem.differences, problem.weights, problem.confidence, l2=0.02)
    np.testing.assert_allclose(again.weights, cold.weights, atol=1e-7)


# ----------------------------------------------------------------------------------------------- features and rewards


class CuttingEncoder(BagOfWordsEncoder):
    """Says that it cut a token from each context of more than 30 characters, and from each text that says "long"."""

    def encode(self, passages, *, progress) -> Embeddings:
        whole = super().encode(passages, progress=progress)
        contexts = np.array([len(each.context) > 30 for each in passages], dtype=np.int64)
        return Embeddings(whole.vectors, contexts, np.array(["long" in each.text for each in passages], dtype=np.int64))


PAIRS = (
    Pair.of([Turn("user", "Name a fruit.")], "an apple", "a stone"),
    Pair.of([Turn("system", "Be brief."), Turn("user", "Name\na tree.")], "an oak", "a long talk about trees"),
)


def test_a_prompt_is_rendered_turn_by_turn():
    assert render_context(PAIRS[1].prompt) == "system: Be brief.\n\nuser: Name\na tree.\n\n"
    assert render_context(()) == ""


def raw_vectors(reading: str, pairs: tuple[Pair, ...] = PAIRS) -> tuple[np.ndarray, np.ndarray]:
    def of(side: str) -> np.ndarray:
        contexts = ["" if reading == "response" else render_context(pair.prompt) for pair in pairs]
        passages = [Passage(getattr(pair, side), context) for pair, context in zip(pairs, contexts, strict=True)]
        return ENCODER.encode(passages, progress=SILENT).vectors.astype(np.float64)

    return of("chosen"), of("rejected")


@pytest.mark.parametrize("reading", ["response", "context"])
def test_features_are_the_responses_vectors_over_the_scale_of_their_differences(reading):
    chosen, rejected = raw_vectors(reading)
    text = TextStates(reading, "mean", ())
    scale = fit_scale(chosen - rejected)
    found = ProbeFeatures(text, scale).of(ENCODER, PAIRS, progress=SILENT)
    np.testing.assert_allclose(found.chosen, chosen / (scale * np.sqrt(DIMENSION)), atol=1e-12)
    np.testing.assert_allclose(found.rejected, rejected / (scale * np.sqrt(DIMENSION)), atol=1e-12)
    assert (found.differences**2).sum(axis=1).mean() == pytest.approx(1)
    np.testing.assert_array_equal(fit_scale(rejected - chosen), scale)
    assert fit_scale(np.zeros((3, 2))).tolist() == [1, 1]


class LayeredEncoder(BagOfWordsEncoder):
    """Six layers, of which the third alone says what the words say; the others hold noise that texts share."""

    fingerprint = "layered"
    depth = 6

    def hidden_states(self, passages, states, *, progress) -> Embeddings:
        words = super().encode(passages, progress=progress)
        blocks = []
        for state in states:
            noise = np.array([self._noise(each.text, state.layer) for each in passages], dtype=np.float32)
            blocks.append(words.vectors if state.layer == 3 else noise.reshape(-1, DIMENSION))
        nothing = np.zeros(len(passages), dtype=np.int64)
        return Embeddings(np.hstack(blocks), nothing, nothing)

    def _noise(self, text: str, layer: int) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(f"{layer} {text}".encode()).digest()[:8])
        return np.random.default_rng(seed).standard_normal(DIMENSION)


def test_the_pairs_choose_the_layer_that_tells_and_say_what_else_was_tried():
    config = ProbeConfig(reading="response")
    examples = TrainingSet.plain(make_pairs(120))
    choice = choose_features(LayeredEncoder(), config, examples, progress=SILENT)
    assert 3 in choice.features.text.layers or not choice.features.text.layers
    by_layers = {each.text.layers: each for each in choice.candidates if each.l2 == choice.l2}
    assert set(by_layers) == {(1,), (3,), (4,), (1, 3), (2, 4), (3, 5), ()}
    assert by_layers[3,].log_loss < min(by_layers[layers].log_loss for layers in ((1,), (4,), (2, 4)))
    assert {each.l2 for each in choice.candidates} == set(PENALTIES)
    assert "cross-validation over 120 prompts of 120 training pairs" in choice.reason
    again = choose_features(LayeredEncoder(), config, examples, progress=SILENT)
    assert (again.settings, again.candidates) == (choice.settings, choice.candidates)


def test_the_context_is_taken_only_where_it_tells_more():
    class ContextTells(BagOfWordsEncoder):
        """Answers say nothing without their question."""

        fingerprint = "context tells"

        def encode(self, passages, *, progress) -> Embeddings:
            if all(each.context for each in passages):
                return super().encode([Passage(each.text) for each in passages], progress=progress)
            return super().encode([Passage(str(hash_of(each.text))) for each in passages], progress=progress)

    def hash_of(text: str) -> int:
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])

    examples = TrainingSet.plain(make_pairs(100))
    told = choose_features(ContextTells(), ProbeConfig(), examples, progress=SILENT)
    assert told.features.text.reading == "context"
    plain = choose_features(ENCODER, ProbeConfig(), examples, progress=SILENT)
    assert plain.features.text.reading == "response"


def test_what_the_settings_fix_is_not_tried():
    fixed = ProbeConfig(reading="response", layers="1, 4", l2=0.02)
    choice = choose_features(LayeredEncoder(), fixed, TrainingSet.plain(make_pairs(60)), progress=SILENT)
    assert (choice.features.text.layers, choice.l2, choice.candidates) == ((1, 4), 0.02, ())
    one = ProbeConfig(reading="response", layers="3")
    chosen = choose_features(LayeredEncoder(), one, TrainingSet.plain(make_pairs(60)), progress=SILENT)
    assert {each.text.layers for each in chosen.candidates} == {(3,)}
    few = choose_features(LayeredEncoder(), ProbeConfig(), TrainingSet.plain(make_pairs(8)), progress=SILENT)
    assert (few.features.text.layers, few.l2) == ((2, 4), DEFAULT_PENALTY)
    assert "too few" in few.reason


def test_a_layer_beyond_the_encoder_is_refused():
    with pytest.raises(ModelError, match="asks for layer 9, and the encoder has 6"):
        choose_features(LayeredEncoder(), ProbeConfig(layers="3,9"), TrainingSet.plain(PAIRS), progress=SILENT)


@pytest.mark.slow
def test_a_choice_is_kept_for_later_trainings_until_a_warm_up_makes_it_anew(tmp_path):
    keeper = FileKeeper(tmp_path / "features.json")
    trainer = ProbeTrainer(ProbeConfig(), LayeredEncoder(), keeper)
    first, grown = TrainingSet.plain(make_pairs(60)), TrainingSet.plain(make_pairs(90))
    trainer.prepare(first, progress=SILENT)
    kept = trainer.settings["features"]
    assert trainer.train(grown, progress=SILENT).features.settings | {"l2": kept["l2"]} == kept
    other_process = ProbeTrainer(ProbeConfig(), LayeredEncoder(), FileKeeper(tmp_path / "features.json"))
    assert other_process.settings == trainer.settings
    trainer.prepare(grown, progress=SILENT)
    assert trainer.settings["features"] != kept
    assert other_process.settings == trainer.settings
    changed = ProbeTrainer(ProbeConfig(l2=0.5), LayeredEncoder(), FileKeeper(tmp_path / "features.json"))
    assert changed.kept_choice() is None
    (tmp_path / "features.json").write_text("{")
    assert FileKeeper(tmp_path / "features.json").load() is None


def test_variants_have_no_say_in_the_choice():
    base = make_pairs(60)
    variants = tuple(Pair.of(pair.prompt, pair.chosen + " indeed", pair.rejected) for pair in base)
    grown = replace(TrainingSet.plain((*base, *variants)), source_of=(*[-1] * 60, *range(60)))
    choices = [
        choose_features(LayeredEncoder(), ProbeConfig(), each, progress=SILENT)
        for each in (TrainingSet.plain(base), grown)
    ]
    assert choices[0].settings == choices[1].settings


@pytest.mark.parametrize(("reading", "contexts", "responses"), [("response", 0, 1), ("context", 2, 1)])
def test_what_the_length_limit_cut_is_counted(reading, contexts, responses):
    found = TextStates(reading, "mean", ()).of(CuttingEncoder(), PAIRS, progress=SILENT)
    assert (found.truncation.contexts_cut, found.truncation.responses_cut) == (contexts, responses)


@pytest.mark.parametrize("reading", ["response", "context"])
def test_margins_are_the_features_differences_times_the_weights(reading):
    probe = train(make_pairs(30), ProbeConfig(reading=reading))
    scored = probe.score(PAIRS, progress=SILENT)
    np.testing.assert_allclose(probe.feature_differences(PAIRS, progress=SILENT) @ probe.weights, scored.margins)
    assert probe.feature_differences(PAIRS, progress=SILENT).shape == (2, DIMENSION)
    alone = [probe.score([pair], progress=SILENT).chosen[0] for pair in PAIRS]
    np.testing.assert_allclose(alone, scored.chosen, atol=1e-12)


def test_no_pairs_have_no_rewards():
    probe = train(make_pairs(10))
    assert probe.score([], progress=SILENT).margins.shape == (0,)
    assert probe.feature_differences([], progress=SILENT).shape == (0, DIMENSION)


# ----------------------------------------------------------------------------------------------------------- training


def train(pairs: tuple[Pair, ...], config: ProbeConfig | None = None) -> Probe:
    return train_on(TrainingSet.plain(pairs), config)


def train_on(examples: TrainingSet, config: ProbeConfig | None = None) -> Probe:
    return ProbeTrainer(config or ProbeConfig(), ENCODER).train(examples, progress=SILENT)


@dataclass(frozen=True)
class RenamedEncoder(BagOfWordsEncoder):
    fingerprint: str = "renamed"


def test_a_trained_probe_ranks_pairs_that_it_never_saw():
    probe = train(make_pairs(200))
    unseen = probe.score(make_pairs(100, seed=1, first=1000), progress=SILENT)
    assert pairwise_accuracy(unseen.margins) > 0.9


@pytest.mark.parametrize("reading", ["response", "context"])
def test_a_probe_is_the_fit_on_its_features_with_the_sets_weights_and_confidence(reading):
    rng = np.random.default_rng(0)
    examples = TrainingSet(make_pairs(30), rng.uniform(0.2, 5.0, 30), rng.choice([1.0, 0.7, 0.0], 30))
    chosen, rejected = raw_vectors(reading, examples.pairs)
    differences = (chosen - rejected) / (fit_scale(chosen - rejected) * np.sqrt(DIMENSION))
    expected = fit_bradley_terry(differences, examples.weights, examples.label_confidence, l2=0.02)
    probe = train_on(examples, ProbeConfig(reading=reading, l2=0.02))
    np.testing.assert_allclose(probe.weights, expected, atol=1e-7)


def test_training_again_gives_the_same_probe_to_the_bit():
    first, second = train(make_pairs(50)), train(make_pairs(50))
    assert first.id == second.id
    np.testing.assert_array_equal(first.weights, second.weights)


def test_a_probes_ridge_is_the_penalty_beside_the_summed_loss():
    pairs = make_pairs(40)
    weighted = replace(TrainingSet.plain(pairs), weights=np.full(40, 2.5))
    assert train_on(weighted, ProbeConfig(l2=0.01)).ridge == pytest.approx(1.0)


def test_a_models_id_tells_what_it_was_trained_on_before_it_is():
    examples = TrainingSet.plain(make_pairs(20))
    trainer = ProbeTrainer(ProbeConfig(), ENCODER)
    assert trainer.model_id(examples) == trainer.train(examples, progress=SILENT).id
    ids = [
        trainer.model_id(examples),
        trainer.model_id(TrainingSet.plain(make_pairs(21))),
        trainer.model_id(replace(examples, weights=np.full(20, 2.0))),
        trainer.model_id(replace(examples, label_confidence=np.full(20, 0.9))),
        ProbeTrainer(ProbeConfig(l2=0.1), ENCODER).model_id(examples),
        ProbeTrainer(ProbeConfig(reading="context"), ENCODER).model_id(examples),
        ProbeTrainer(ProbeConfig(), RenamedEncoder()).model_id(examples),
    ]
    assert len(set(ids)) == len(ids)
    assert json.loads(json.dumps(trainer.settings)) == trainer.settings


def test_probe_and_trainer_keep_to_the_protocols():
    trainer: RewardModelTrainer = ProbeTrainer(ProbeConfig(), ENCODER)
    model: LinearRewardModel = train(make_pairs(4))
    assert trainer.kind == "probe"
    assert isinstance(model.score(PAIRS, progress=SILENT), Rewards)


def test_nothing_to_train_on_is_an_error():
    trainer = ProbeTrainer(ProbeConfig(), ENCODER)
    with pytest.raises(NotReadyError, match="no pairs to train on"):
        trainer.train(TrainingSet.plain([]), progress=SILENT)
    with pytest.raises(NotReadyError, match="no pairs to train on"):
        trainer.out_of_fold_margins(TrainingSet.plain([]), np.zeros((1, 0), dtype=np.int64), progress=SILENT)


# -------------------------------------------------------------------------------------------------------- out of fold


FOLDS = np.stack([np.random.default_rng(seed).permutation(30) % 3 for seed in (1, 2)])


def out_of_fold(examples: TrainingSet) -> FloatArray:
    return ProbeTrainer(ProbeConfig(), ENCODER).out_of_fold_margins(examples, FOLDS, progress=SILENT)


def test_out_of_fold_margins_come_from_probes_trained_on_the_other_folds():
    rng = np.random.default_rng(0)
    examples = TrainingSet(make_pairs(30), rng.uniform(0.2, 5.0, 30), rng.choice([1.0, 0.7, 0.0], 30))
    trainer = ProbeTrainer(ProbeConfig(), ENCODER)
    margins = trainer.out_of_fold_margins(examples, FOLDS, progress=SILENT)
    features = trainer.features
    assert margins.shape == (2, 30)
    for draw, fold_of_pair in enumerate(FOLDS):
        for fold in range(3):
            held = fold_of_pair == fold
            others, own = part_of(examples, ~held), part_of(examples, held)
            raw = [each - other for each, other in (raw_vectors("response", part.pairs) for part in (others, own))]
            scale = features.scale * np.sqrt(DIMENSION)  # of all pairs: no label enters it
            head = fit_bradley_terry(raw[0] / scale, others.weights, others.label_confidence, l2=DEFAULT_PENALTY)
            np.testing.assert_allclose(margins[draw, held], raw[1] / scale @ head, atol=1e-7)


def part_of(examples: TrainingSet, kept: BoolArray) -> TrainingSet:
    pairs = tuple(examples.pairs[index] for index in np.flatnonzero(kept))
    return TrainingSet(pairs, examples.weights[kept], examples.label_confidence[kept])


@pytest.mark.parametrize("flipped", [0, 13, 29])
def test_a_pairs_own_label_has_no_part_in_its_out_of_fold_margin(flipped):
    pairs = list(make_pairs(30))
    before = out_of_fold(TrainingSet.plain(pairs))
    pairs[flipped] = Pair.of(pairs[flipped].prompt, pairs[flipped].rejected, pairs[flipped].chosen)
    after = out_of_fold(TrainingSet.plain(pairs))
    np.testing.assert_array_equal(after[:, flipped], -before[:, flipped])
    for draw, fold_of_pair in enumerate(FOLDS):
        same_fold = (fold_of_pair == fold_of_pair[flipped]) & (np.arange(30) != flipped)
        other_folds = fold_of_pair != fold_of_pair[flipped]
        np.testing.assert_array_equal(after[draw, same_fold], before[draw, same_fold])
        assert (after[draw, other_folds] != before[draw, other_folds]).all()


def test_out_of_fold_margins_are_as_labelled_whatever_the_confidence():
    plain = TrainingSet.plain(make_pairs(30))
    doubted = replace(
        plain, label_confidence=np.where(np.arange(30) == 4, 0.0, 1.0), weights=1.0 + (np.arange(30) == 4)
    )
    before, after = out_of_fold(plain), out_of_fold(doubted)
    np.testing.assert_array_equal(after[:, 4], before[:, 4])
    assert (after != before).any()


def test_a_fold_of_all_pairs_leaves_nothing_to_train_on():
    examples = TrainingSet.plain(make_pairs(4))
    trainer = ProbeTrainer(ProbeConfig(), ENCODER)
    with pytest.raises(NotReadyError, match="share one prompt"):
        trainer.out_of_fold_margins(examples, np.full((1, 4), 2), progress=SILENT)


# ---------------------------------------------------------------------------------------------------------- the shelf


@dataclass(frozen=True)
class Shelved:
    """A probe and the shelf that it was saved on."""

    shelf: ProbeShelf
    probe: Probe
    record: ModelRecord

    @property
    def folder(self) -> Path:
        return self.shelf.root / self.record.artifact


def record_of(probe: Probe, artifact: str) -> ModelRecord:
    return ModelRecord(probe.id, "probe", "warm-up", {}, {}, artifact, "", 0, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def shelved(tmp_path) -> Shelved:
    config = ProbeConfig(layers="sentence", l2=0.02)
    shelf = ProbeShelf(tmp_path, tmp_path / "artifacts" / "models", ProbeTrainer(config, ENCODER))
    probe = train(make_pairs(60), config)
    return Shelved(shelf, probe, record_of(probe, shelf.save(probe)))


def test_a_loaded_probe_scores_to_the_bit_as_when_it_was_saved(shelved):
    loaded = shelved.shelf.load(shelved.record)
    pairs = make_pairs(20, seed=5)
    before, after = (probe.score(pairs, progress=SILENT) for probe in (shelved.probe, loaded))
    np.testing.assert_array_equal(after.chosen, before.chosen)
    np.testing.assert_array_equal(after.rejected, before.rejected)
    assert (loaded.id, loaded.ridge, loaded.remarks) == (shelved.probe.id, shelved.probe.ridge, shelved.probe.remarks)
    assert (loaded.choice.settings, loaded.choice.candidates) == (
        shelved.probe.choice.settings,
        shelved.probe.choice.candidates,
    )


def test_a_probe_keeps_its_own_settings_when_the_workspaces_change(shelved):
    changed = replace(shelved.shelf, trainer=ProbeTrainer(ProbeConfig(reading="response", l2=1.0), ENCODER))
    assert changed.load(shelved.record).choice.settings == shelved.probe.choice.settings


def test_a_probe_of_before_features_were_chosen_must_be_trained_again(shelved):
    path = shelved.folder / "probe.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in settings.items() if name != "choice"}))
    with pytest.raises(ModelError, match=r"sentence embeddings alone.*run 'mars train' to train it again"):
        shelved.shelf.load(shelved.record)


def test_a_workspace_may_move(shelved, tmp_path):
    moved = tmp_path / "moved"
    shutil.move(tmp_path / "artifacts", moved / "artifacts")
    shelf = replace(shelved.shelf, root=moved, folder=moved / "artifacts" / "models")
    np.testing.assert_array_equal(shelf.load(shelved.record).weights, shelved.probe.weights)


def test_saving_again_leaves_the_files_as_they_are_and_no_others_behind(shelved):
    files = {path: path.read_bytes() for path in shelved.folder.iterdir()}
    moments = {path: path.stat().st_mtime_ns for path in files}
    assert shelved.shelf.save(shelved.probe) == shelved.record.artifact
    assert {path: path.stat().st_mtime_ns for path in shelved.folder.iterdir()} == moments
    assert [path.name for path in shelved.shelf.folder.iterdir()] == [shelved.probe.id]


def test_what_a_killed_save_left_behind_is_no_model(shelved, monkeypatch):
    other = train(make_pairs(10))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mars_engine.reward_models.shelf.save_file", killed)
        with pytest.raises(KeyboardInterrupt):
            shelved.shelf.save(other)
    assert not (shelved.shelf.folder / other.id).exists()
    again = shelved.shelf.load(record_of(other, shelved.shelf.save(other)))
    np.testing.assert_array_equal(again.weights, other.weights)


def test_a_model_that_another_process_saves_at_the_same_moment_is_kept(shelved, monkeypatch):
    other = train(make_pairs(10))
    folder = shelved.shelf.folder

    def save_after_another_process(tensors: dict, path: Path) -> None:
        save_file(tensors, path)
        monkeypatch.undo()
        elsewhere = replace(shelved.shelf, folder=folder.parent / "elsewhere")
        elsewhere.save(other)
        (elsewhere.folder / other.id).rename(folder / other.id)

    monkeypatch.setattr("mars_engine.reward_models.shelf.save_file", save_after_another_process)
    artifact = shelved.shelf.save(other)
    assert sorted(path.name for path in folder.iterdir()) == sorted([shelved.probe.id, other.id])
    np.testing.assert_array_equal(shelved.shelf.load(record_of(other, artifact)).weights, other.weights)


def test_a_probe_of_an_older_version_is_to_be_trained_again(shelved):
    path = shelved.folder / SETTINGS_FILE
    settings = json.loads(path.read_text(encoding="utf-8"))
    del settings["choice"]
    path.write_text(json.dumps(settings | {"probe": {"features": "response", "l2": 0.005}}), encoding="utf-8")
    with pytest.raises(ModelError, match="older version") as caught:
        shelved.shelf.load(shelved.record)
    assert "mars train" in caught.value.remedy


def test_another_encoder_is_refused(shelved):
    shelf = replace(shelved.shelf, trainer=ProbeTrainer(ProbeConfig(), RenamedEncoder()))
    with pytest.raises(ModelError, match="was trained on the encoder bag-of-words") as caught:
        shelf.load(shelved.record)
    assert "renamed" in caught.value.expected
    assert "mars train" in caught.value.remedy


def test_only_probes_are_shelved(shelved):
    with pytest.raises(TypeError, match="not str"):
        shelved.shelf.save("a probe")


def without(key: str):
    def damage(folder: Path) -> None:
        settings = json.loads((folder / SETTINGS_FILE).read_text())
        del settings[key]
        (folder / SETTINGS_FILE).write_text(json.dumps(settings))

    return damage


def with_settings(content: bytes):
    return lambda folder: (folder / SETTINGS_FILE).write_bytes(content)


def with_setting(key: str, value: object):
    def damage(folder: Path) -> None:
        settings = json.loads((folder / SETTINGS_FILE).read_text())
        (folder / SETTINGS_FILE).write_text(json.dumps({**settings, key: value}))

    return damage


def flip_the_last_bit(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-8] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)


def truncate_weights(folder: Path) -> None:
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-1])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(shutil.rmtree, id="no folder"),
        pytest.param(lambda folder: (folder / WEIGHTS_FILE).unlink(), id="no weights"),
        pytest.param(lambda folder: (folder / SETTINGS_FILE).unlink(), id="no settings"),
        pytest.param(truncate_weights, id="weights cut short"),
        pytest.param(flip_the_last_bit, id="one bit of the weights changed"),
        pytest.param(lambda folder: (folder / WEIGHTS_FILE).write_bytes(b""), id="empty weights"),
        pytest.param(lambda folder: save_file({"bias": np.ones(3)}, folder / WEIGHTS_FILE), id="other tensors"),
        pytest.param(lambda folder: save_file({"weights": np.ones(3)}, folder / WEIGHTS_FILE), id="another width"),
        pytest.param(with_settings(b""), id="empty settings"),
        pytest.param(with_settings(b'{"id": '), id="settings cut short"),
        pytest.param(with_settings(b"\xff\xfe"), id="settings that are not UTF-8"),
        pytest.param(with_settings(b"[]"), id="settings that are a list"),
        pytest.param(without("ridge"), id="no ridge"),
        pytest.param(with_setting("choice", {}), id="a choice of nothing"),
        pytest.param(with_setting("ridge", None), id="a ridge that is no number"),
        pytest.param(with_setting("choice", {"text": {"reading": "response"}}), id="a choice cut short"),
        pytest.param(with_setting("choice", None), id="a choice that is none"),
    ],
)
def test_damaged_files_are_refused(shelved, damage):
    damage(shelved.folder)
    with pytest.raises(ModelError, match=f"files of model {shelved.probe.id} .* missing or damaged") as caught:
        shelved.shelf.load(shelved.record)
    assert "mars train" in caught.value.remedy


@pytest.mark.parametrize("damage", ["deleted", "altered"])
def test_damaged_files_are_not_held_and_saving_again_mends_them(tmp_path, damage):
    trainer = ProbeTrainer(ProbeConfig(), ENCODER)
    shelf = ProbeShelf(tmp_path, tmp_path / "models", trainer)
    model = trainer.train(TrainingSet.plain(PAIRS), progress=SILENT)
    record = record_of(model, shelf.save(model))
    assert shelf.holds(record)
    weights = tmp_path / record.artifact / "probe.safetensors"
    weights.unlink() if damage == "deleted" else weights.write_bytes(weights.read_bytes()[:-8] + bytes(8))
    assert not shelf.holds(record)
    shelf.save(model)
    np.testing.assert_array_equal(shelf.load(record).weights, model.weights)
