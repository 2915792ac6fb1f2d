"""Training transformers on pairs: TRL's loss, exact resumption, early stopping, and what ends a training early."""

import errno
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import make_pairs
from tiny_transformers import save_tiny_backbone

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.errors import ModelError, NotReadyError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import ModelRecord, Pair, TrainingSet
from mars_engine.reward_models.transformer.fine_tuning import TransformerTrainer
from mars_engine.reward_models.transformer.shelf import TransformerShelf

pytestmark = pytest.mark.model

SILENT = SilentProgress()
PAIRS = make_pairs(20, seed=1)
CONFIG = RewardModelConfig(
    max_tokens=96, batch_size=4, epochs=2, learning_rate=1e-3, checkpoint_every=3, warmup=0.2, device="cpu"
)
STEPS_PER_EPOCH = 5


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    texts = [text for pair in PAIRS for text in (pair.prompt[0].content, pair.chosen, pair.rejected)]
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"), "roberta", texts)


@pytest.fixture(autouse=True)
def _every_step_has_its_point(monkeypatch) -> None:
    monkeypatch.setattr("mars_engine.reward_models.transformer.trainer.SECONDS_BETWEEN_POINTS", 0.0)


@dataclass
class Notes:
    """Remembers what it is told, and does something after a step."""

    stop_at: int = 0
    stop_after_epoch: int = 0
    stop: Any = None
    points: dict[str, dict[int, float]] = field(default_factory=dict)
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)

    def add_point(self, metric: str, step: int, value: float) -> None:
        self.points.setdefault(metric, {})[step] = value
        if step == self.stop_at and metric == "training margin":
            self.stop()

    def add_epoch(self, model_id: str, epoch: int, margins: Any) -> None:  # noqa: ARG002
        self.epochs[epoch] = dict(margins)
        if epoch == self.stop_after_epoch:
            self.stop()


def trainer(backbone: Path, checkpoints: Path, **settings: Any) -> TransformerTrainer:
    config = CONFIG.model_copy(update={"backbone": str(backbone), **settings})
    return TransformerTrainer(config, checkpoints)


def train(made: TransformerTrainer, examples: TrainingSet | None = None, notes: Notes | None = None) -> Any:
    return made.train(examples or TrainingSet.plain(PAIRS), progress=SILENT, notes=notes)


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: weight.numpy() for name, weight in model.backbone.model.state_dict().items()}


def largest_difference(first: Any, second: Any) -> float:
    one, other = weights(first), weights(second)
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


# --------------------------------------------------------------------------------------------------------------- loss


@pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:FutureWarning")  # TRL sets what is going
@pytest.mark.parametrize("architecture", ["roberta", "llama"])
@pytest.mark.parametrize("center", [0.0, 0.1])
def test_the_loss_of_a_batch_is_that_of_trl(architecture, center, tmp_path):
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    from mars_engine.reward_models.transformer.backbone import load_backbone
    from mars_engine.reward_models.transformer.collator import Example, PairCollator
    from mars_engine.reward_models.transformer.trainer import PairTrainer, training_arguments

    folder = save_tiny_backbone(tmp_path / "backbone", architecture, [pair.chosen for pair in PAIRS])
    config = CONFIG.model_copy(update={"center_rewards_coefficient": center, "input_format": "concat"})
    loaded = load_backbone(folder, config)
    rows = loaded.pairs.tokenize(PAIRS, progress=SILENT)[:6]
    examples = [Example(row, 1.0, 1.0) for row in rows]
    collator = PairCollator(loaded.padding, with_sources=False)
    args = training_arguments(config, tmp_path / "ours", bf16=False, use_cpu=True)
    ours = PairTrainer(loaded.model, config=config, args=args, collator=collator, train=examples)
    theirs = RewardTrainer(
        model=loaded.model,
        args=RewardConfig(
            output_dir=str(tmp_path / "trl"),
            center_rewards_coefficient=center or None,
            use_cpu=True,
            bf16=False,
            report_to="none",
            max_length=None,
        ),
        train_dataset=Dataset.from_list(
            [{"chosen_ids": row.chosen.token_ids, "rejected_ids": row.rejected.token_ids} for row in rows]
        ),
        processing_class=loaded.tokenizer,
    )
    loaded.model.eval()  # dropout would differ
    batch = theirs.data_collator([theirs.train_dataset[place] for place in range(len(rows))])
    expected = theirs.compute_loss(loaded.model, batch).item()
    assert ours.compute_loss(loaded.model, collator(examples)).item() == pytest.approx(expected, abs=1e-6)
    assert expected > 0.1


def test_weights_and_label_confidence_count_as_in_the_probe(backbone, tmp_path):
    """The loss is the mean of w(−p log σ(Δ) − (1 − p) log σ(−Δ)), with weights relative to a mean of 1."""
    from mars_engine.reward_models.transformer.backbone import load_backbone
    from mars_engine.reward_models.transformer.collator import PairCollator
    from mars_engine.reward_models.transformer.examples import make_examples
    from mars_engine.reward_models.transformer.model import score_tokenized
    from mars_engine.reward_models.transformer.trainer import PairTrainer, training_arguments

    pairs = PAIRS[:5]
    given, confidence = np.array([2.0, 2.0, 4.0, 8.0, 4.0]), np.array([1.0, 0.0, 0.7, 1.0, 0.5])
    loaded = load_backbone(backbone, CONFIG)
    rows = loaded.pairs.tokenize(pairs, progress=SILENT)
    examples = make_examples(TrainingSet(pairs, given, confidence), rows, validation_percent=0, seed=0).train
    args = training_arguments(CONFIG, tmp_path, bf16=False, use_cpu=True)
    collator = PairCollator(loaded.padding, with_sources=False)
    made = PairTrainer(loaded.model, config=CONFIG, args=args, collator=collator, train=examples)
    loaded.model.eval()
    margins = score_tokenized(loaded.model, rows, loaded.padding, batch_tokens=8192, progress=SILENT).margins
    losses = confidence * np.logaddexp(0, -margins) + (1 - confidence) * np.logaddexp(0, margins)
    assert made.compute_loss(loaded.model, collator(examples)).item() == pytest.approx(
        np.average(losses, weights=given), abs=1e-6
    )


def test_a_loss_that_is_no_number_stops_the_training_and_says_where(backbone, tmp_path):
    made = trainer(backbone, tmp_path, learning_rate=1e30, warmup=0.0)
    with pytest.raises(
        ModelError, match=r"the loss became \S+ at step \d+ of 10.*stopped.*What to do: lower"
    ) as caught:
        train(made)
    assert any(pair.id in str(caught.value) for pair in PAIRS)


# --------------------------------------------------------------------------------------------------------- resumption


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def break_down() -> None:
    raise RuntimeError("killed")


@pytest.mark.parametrize(
    "settings",
    [{}, {"lora": True}, {"gradient_accumulation": 2, "batch_size": 2}, {"early_stopping_patience": 5}],
    ids=str,
)
def test_an_interrupted_training_goes_on_exactly(settings, backbone, tmp_path):
    whole = train(trainer(backbone, tmp_path / "whole", **settings))
    made = trainer(backbone, tmp_path / "parts", **settings)
    notes = Notes(stop_at=4, stop=interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(made, notes=notes)
    assert max(notes.points["training loss"]) == 4
    folder = tmp_path / "parts" / made.model_id(TrainingSet.plain(PAIRS))
    assert (folder / "checkpoint-4" / "trainer_state.json").is_file()  # though checkpoints are due at 3, 6, …
    again = Notes()
    resumed = train(made, notes=again)
    assert min(again.points["training loss"]) == 5
    assert largest_difference(whole, resumed) <= 1e-6
    assert whole.id == resumed.id


def test_an_interruption_between_two_points_still_leaves_a_point_and_a_checkpoint_of_one_step(
    backbone, tmp_path, monkeypatch
):
    monkeypatch.setattr("mars_engine.reward_models.transformer.trainer.SECONDS_BETWEEN_POINTS", 1e9)
    made = trainer(backbone, tmp_path, trajectory=True)
    notes = Notes(stop_after_epoch=1, stop=interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(made, notes=notes)
    assert max(notes.points["training loss"]) == STEPS_PER_EPOCH
    folder = tmp_path / made.model_id(TrainingSet.plain(PAIRS))
    assert (folder / f"checkpoint-{STEPS_PER_EPOCH}" / "trainer_state.json").is_file()


@pytest.mark.parametrize("damaged", ["trainer_state.json", "model.safetensors", "optimizer.pt", "rng_state.pth"])
def test_a_killed_training_goes_on_from_the_last_whole_checkpoint(damaged, backbone, tmp_path):
    whole = train(trainer(backbone, tmp_path / "whole"))
    made = trainer(backbone, tmp_path / "parts")
    with pytest.raises(RuntimeError, match="killed"):
        train(made, notes=Notes(stop_at=8, stop=break_down))
    folder = tmp_path / "parts" / made.model_id(TrainingSet.plain(PAIRS))
    assert {path.name for path in folder.iterdir()} == {"checkpoint-3", "checkpoint-6"}
    path = folder / "checkpoint-6" / damaged
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # the disk was full, or its writer killed
    notes = Notes()
    assert largest_difference(whole, train(made, notes=notes)) <= 1e-6
    assert min(notes.points["training loss"]) == 4


def test_an_epoch_s_order_depends_on_seed_and_epoch_alone():
    from mars_engine.reward_models.transformer.trainer import EpochOrder

    order = EpochOrder(4, list(range(40, 80)), seed=3)
    first = list(order)
    order.epoch = 1
    assert sorted(first) == list(range(40))
    assert list(order) != first
    order.epoch = 0
    assert list(order) == first
    assert list(EpochOrder(4, list(range(40, 80)), seed=4)) != first


@pytest.mark.parametrize("kind", [OSError(errno.ENOSPC, "No space left on device"), "safetensors"])
def test_a_full_disk_ends_in_plain_words_and_the_checkpoints_before_it_stay(kind, backbone, tmp_path, monkeypatch):
    import safetensors
    import torch

    made = trainer(backbone, tmp_path / "parts")
    error = safetensors.SafetensorError("I/O error: No space left on device") if kind == "safetensors" else kind
    whole_save = torch.save

    def full(content: Any, path: Any, *rest: Any, **options: Any) -> None:
        if "checkpoint-6" in str(path):
            raise error
        whole_save(content, path, *rest, **options)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ModelError, match=r"checkpoint-6 cannot be written: .*No space left.*MB free.*make room"):
        train(made)
    monkeypatch.undo()
    folder = tmp_path / "parts" / made.model_id(TrainingSet.plain(PAIRS))
    assert {path.name for path in folder.iterdir()} == {"checkpoint-3"}
    notes = Notes()
    train(made, notes=notes)
    assert min(notes.points["training loss"]) == 4


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[int], Path]]:
    """Gives a disk of so many bytes in memory; asked again, it changes the size of that disk."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(size: int) -> Path:
        mounted = ["-o", f"remount,size={size}"] if folder.is_mount() else ["-t", "tmpfs", "-o", f"size={size}"]
        done = subprocess.run(["mount", *mounted, "tmpfs", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted by this user: {done.stderr.strip()}")
        return folder

    yield make
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a file of the failed writing may be open still


def test_on_a_disk_that_is_full_it_stops_and_goes_on_exactly_when_there_is_room(backbone, tmp_path, small_disk):
    whole = train(trainer(backbone, tmp_path / "enough"))
    notes = Notes(stop_at=3, stop=lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(trainer(backbone, tmp_path / "measured"), notes=notes)
    checkpoint = sum(path.stat().st_size for path in (tmp_path / "measured").rglob("*") if path.is_file())

    made = trainer(backbone, small_disk(int(1.6 * checkpoint)))
    with pytest.raises(ModelError, match=r"checkpoint-6 cannot be written: [Nn]o space left.*make room"):
        train(made)
    folder = made.checkpoints / made.model_id(TrainingSet.plain(PAIRS))
    assert {path.name for path in folder.iterdir()} == {"checkpoint-3"}

    small_disk(6 * checkpoint)
    notes = Notes()
    found = train(made, notes=notes)
    assert min(notes.points["training loss"]) == 4
    assert largest_difference(found, whole) <= 1e-6


# -------------------------------------------------------------------------------------------- what is told and kept


def test_each_step_and_each_epoch_are_told(backbone, tmp_path):
    notes = Notes()
    made = trainer(backbone, tmp_path, trajectory=True)
    model = train(made, notes=notes)
    assert list(notes.points["training loss"]) == list(range(1, 2 * STEPS_PER_EPOCH + 1))
    assert set(notes.points) == {"training loss", "training accuracy", "training margin"}
    assert all(0 <= value <= 1 for value in notes.points["training accuracy"].values())
    assert [sorted(margins) for margins in notes.epochs.values()] == [sorted(pair.id for pair in PAIRS)] * 2
    final = dict(zip([pair.id for pair in PAIRS], model.score(PAIRS, progress=SILENT).margins, strict=True))
    assert notes.epochs[2] == pytest.approx(final, abs=1e-5)
    assert notes.epochs[1] != pytest.approx(final, abs=1e-3)
    later = Notes()
    train(made, TrainingSet.plain(PAIRS[:8]), notes=later)
    assert list(later.points["training loss"]) == [11, 12, 13, 14]  # the next round's curve follows the first's


def test_margins_after_an_epoch_are_signed_by_the_label_that_is_trained_on(backbone, tmp_path):
    """Of a pair that a person flipped they are the other way round than its rewards, which are of the sides as
    imported; of a smoothed pair and of one called ambiguous they are not."""
    notes, few = Notes(), TrainingSet.plain(PAIRS[:8])
    examples = replace(few, label_confidence=np.array([0.0, 0.7, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0]))
    model = train(trainer(backbone, tmp_path, trajectory=True), examples, notes)
    final = model.score(few.pairs, progress=SILENT).margins * (-1, 1, 1, -1, 1, 1, 1, 1)
    kept = [notes.epochs[2][pair.id] for pair in few.pairs]
    np.testing.assert_allclose(kept, final, atol=1e-5)


def test_quick_steps_share_a_point(backbone, tmp_path, monkeypatch):
    """The first step and the last have one, and between them their mean."""
    every, shared = Notes(), Notes()
    train(trainer(backbone, tmp_path / "every"), notes=every)
    monkeypatch.setattr("mars_engine.reward_models.transformer.trainer.SECONDS_BETWEEN_POINTS", 1e6)
    train(trainer(backbone, tmp_path / "shared"), notes=shared)
    losses = every.points["training loss"]
    mean = np.mean([losses[step] for step in range(2, 11)])
    assert shared.points["training loss"] == pytest.approx({1: losses[1], 10: mean}, abs=1e-5)


def test_keeping_the_epochs_changes_no_weight(backbone, tmp_path):
    assert (
        largest_difference(train(trainer(backbone, tmp_path)), train(trainer(backbone, tmp_path, trajectory=True))) == 0
    )


@pytest.mark.parametrize("settings", [{}, {"lora": True}], ids=str)
def test_what_was_trained_in_bf16_scores_in_fp32(settings, backbone, tmp_path):
    notes, few = Notes(), TrainingSet.plain(PAIRS[:8])
    model = train(trainer(backbone, tmp_path, precision="bf16", trajectory=True, epochs=1, **settings), few, notes)
    shelf = TransformerShelf(tmp_path, tmp_path / "models", tmp_path / "checkpoints", "cpu", 0)
    record = ModelRecord(
        model.id, "transformer", "", {}, {}, shelf.save(model), "", 0, datetime(2026, 1, 1, tzinfo=UTC)
    )
    own, loaded = (each.score(few.pairs, progress=SILENT) for each in (model, shelf.load(record)))
    np.testing.assert_allclose(own.chosen, loaded.chosen, atol=1e-6)
    np.testing.assert_allclose(own.rejected, loaded.rejected, atol=1e-6)
    last = dict(zip([pair.id for pair in few.pairs], loaded.margins.tolist(), strict=True))
    assert notes.epochs[1] == pytest.approx(last, abs=1e-5)


def test_keeping_the_epochs_leaves_the_training_in_bf16(backbone, tmp_path):
    few = TrainingSet.plain(PAIRS[:8])
    plain, kept = (train(trainer(backbone, tmp_path, precision="bf16", trajectory=each), few) for each in (False, True))
    assert largest_difference(plain, kept) == 0


def test_early_stopping_keeps_the_best_epoch_on_prompts_set_aside(backbone, tmp_path):
    """With labels drawn by lot, what is learned does not help on other prompts for long."""
    lot = np.random.default_rng(0).integers(0, 2, len(PAIRS)).astype(float)
    examples = TrainingSet(PAIRS, np.ones(len(PAIRS)), lot)
    settings = {"epochs": 12, "early_stopping_patience": 2, "validation_percent": 40}
    settings |= {
        "learning_rate": 3e-3,
        "precision": "fp32",
    }  # in bf16 the losses noted are coarser than those compared here
    notes = Notes()
    model = train(trainer(backbone, tmp_path, **settings), examples, notes)
    losses = list(notes.points["validation loss"].values())
    assert len(losses) < 12
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    from mars_engine.reward_models.transformer.examples import make_examples

    rows = model.backbone.pairs.tokenize(PAIRS, progress=SILENT)
    aside = make_examples(examples, rows, validation_percent=40, seed=0).validation
    margins = dict(zip([pair.id for pair in PAIRS], model.score(PAIRS, progress=SILENT).margins, strict=True))
    own = [np.logaddexp(0, -margins[each.pair.id] * (2 * each.label_confidence - 1)) for each in aside]
    assert np.mean(own) == pytest.approx(min(losses), abs=1e-4)


def test_prompts_are_set_aside_whole_with_their_variants(backbone, tmp_path):
    from mars_engine.reward_models.transformer.examples import make_examples

    base = make_pairs(12, pairs_a_prompt=2)
    variants = tuple(Pair.of(pair.prompt, f"{pair.chosen} v", pair.rejected) for pair in base)
    examples = TrainingSet((*base, *variants), np.ones(24), np.ones(24), (*[-1] * 12, *range(12)))
    made = trainer(backbone, tmp_path)
    from mars_engine.reward_models.transformer.backbone import load_backbone

    rows = load_backbone(backbone, made.config).pairs.tokenize(examples.pairs, progress=SILENT)
    parts = make_examples(examples, rows, validation_percent=30, seed=5)
    prompts = {pair.id: pair.prompt_id for pair in examples.pairs}
    aside = {prompts[each.pair.id] for each in parts.validation}
    assert len(parts.validation) == 4
    assert len(aside) == 2
    assert all(each.source is None for each in parts.validation)
    assert not aside & {prompts[each.pair.id] for each in parts.train}
    assert len(parts.train) == 16
    one_prompt = TrainingSet.plain(make_pairs(4, pairs_a_prompt=4))
    with pytest.raises(NotReadyError, match="all pairs share one prompt"):
        train(trainer(backbone, tmp_path, early_stopping_patience=1), one_prompt)


def test_consistency_pulls_a_variant_to_its_source(backbone, tmp_path):
    variants = tuple(Pair.of(pair.prompt, f"well {pair.chosen}", f"so {pair.rejected}") for pair in PAIRS)
    source_of = (*[-1] * len(PAIRS), *range(len(PAIRS)))
    both = TrainingSet((*PAIRS, *variants), np.ones(40), np.ones(40), source_of)
    distances = []
    for weight in (0.0, 5.0):
        model = train(trainer(backbone, tmp_path, consistency_weight=weight, epochs=4), both)
        own, source = model.score(variants, progress=SILENT), model.score(PAIRS, progress=SILENT)
        distances.append(np.mean((own.chosen - source.chosen) ** 2 + (own.rejected - source.rejected) ** 2))
    assert distances[1] < 0.5 * distances[0]


def test_consistency_leaves_refined_sides_alone(backbone, tmp_path):
    """Where no side of a variant paraphrases its source's, the loss is that without a pull."""
    variants = tuple(Pair.of(pair.prompt, pair.chosen, f"else {pair.rejected}") for pair in PAIRS[:4])
    refined = TrainingSet(
        (*PAIRS[:4], *variants), np.ones(8), np.ones(8), (*[-1] * 4, *range(4)), ((False, False),) * 8
    )
    free, pulled = (
        train(trainer(backbone, tmp_path, consistency_weight=weight, epochs=1), refined) for weight in (0.0, 5.0)
    )
    assert largest_difference(free, pulled) == 0
    made = trainer(backbone, tmp_path, consistency_weight=5.0)
    assert made.model_id(refined) != made.model_id(replace(refined, paraphrased=()))


def test_adapters_go_on_the_layers_of_gpt_2_too(tmp_path):
    folder = save_tiny_backbone(tmp_path / "gpt2", "gpt2", [pair.chosen for pair in PAIRS])
    before, after = (
        train(trainer(folder, tmp_path, lora=True, epochs=epochs, precision="fp32"), TrainingSet.plain(PAIRS[:8]))
        for epochs in (1, 3)
    )
    weights = [dict(each.backbone.model.named_parameters()) for each in (before, after)]
    changed = {name for name, weight in weights[0].items() if not bool((weight == weights[1][name]).all())}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in changed} == {"c_attn", "c_proj", "c_fc", "score"}


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ([1.0, -1.0, 1.0, 1.0], "1 of 4 pairs have a weight that cannot be trained with, the first .* with -1.0"),
        ([1.0, 1.0, float("nan"), 1.0], "with nan"),
        ([0.0] * 4, "all 4 pairs have the weight 0"),
    ],
)
def test_weights_that_cannot_be_trained_with_are_refused(weights, says, backbone, tmp_path):
    with pytest.raises(ModelError, match=says):
        train(trainer(backbone, tmp_path), TrainingSet(PAIRS[:4], np.array(weights), np.ones(4)))


def test_a_backbone_whose_weights_are_no_numbers_is_named_as_the_cause(backbone, tmp_path):
    from safetensors.numpy import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(backbone, broken)
    weights = load_file(broken / "model.safetensors")
    name = next(each for each in weights if each.endswith("word_embeddings.weight"))
    weights[name][:] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"before anything was learned.*word_embeddings.weight.*another backbone"):
        train(trainer(broken, tmp_path), TrainingSet.plain(PAIRS[:4]))


@pytest.mark.usefixtures("packaged_lm_folder")
def test_the_packaged_language_model_is_a_backbone_for_adapters_and_its_card_names_it(tmp_path):
    made = trainer(Path("packaged-lm"), tmp_path, lora=True, epochs=1, precision="fp32")
    model = train(made, TrainingSet.plain(PAIRS[:4]))
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in model.card
    before = model.backbone.model.get_input_embeddings().weight
    assert before.shape[1] == 576
    scores = model.score(PAIRS[:2], progress=SILENT)
    assert np.isfinite(scores.chosen).all()


def test_adapters_on_a_backbone_that_got_a_padding_token_say_nothing_and_are_remarked(tmp_path):
    folder = save_tiny_backbone(tmp_path / "llama", "llama", [pair.chosen for pair in PAIRS], pad=False)
    model = train(trainer(folder, tmp_path, lora=True, epochs=1, precision="fp32"), TrainingSet.plain(PAIRS[:4]))
    assert model.remarks[0] == "trained in fp32"
    assert model.remarks[1].startswith("a padding token was added")
    assert "import torch" in model.card
    assert "| torch | 2." in model.card
    assert "| lora r | 16 |" in model.card
    assert not any(name in model.card for name in ("focal gamma", "label smoothing", "base_model"))


def test_the_id_tells_what_determines_the_weights(backbone, tmp_path):
    examples = TrainingSet.plain(PAIRS)
    made = trainer(backbone, tmp_path)
    same = [trainer(backbone, tmp_path, **each) for each in ({"checkpoint_every": 9}, {"batch_tokens": 64})]
    other = [trainer(backbone, tmp_path, **each) for each in ({"seed": 1}, {"loss": "focal"}, {"lora": True})]
    assert {each.model_id(examples) for each in same} == {made.model_id(examples)}
    assert len({each.model_id(examples) for each in (made, *other)}) == 4
    lineage = replace(examples, source_of=(*[-1] * 19, 0))
    assert made.model_id(lineage) == made.model_id(examples)
    pulled = trainer(backbone, tmp_path, consistency_weight=1.0)
    assert pulled.model_id(lineage) != pulled.model_id(examples)
