"""An experiment in a workspace: where its files are, and what it works with."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mars_engine.augment.generators import ExtractiveRefiner
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import MarsConfig
from mars_engine.core.progress import Progress
from mars_engine.core.records import IntArray, Pair, Passage, TrainingSet, content_id
from mars_engine.data.loaders import open_source
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.dropout_views import DropoutViewEncoder
from mars_engine.embeddings.model_folder import find_model_folder, fingerprint_folder
from mars_engine.embeddings.packaged_lm import PACKAGED_LM
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.experiments.cell_journal import CellJournal, DrawLocks
from mars_engine.experiments.draws import DatasetPairs, read_pairs
from mars_engine.experiments.experiment import experiment_id
from mars_engine.experiments.plan import DatasetPlan, ExperimentPlan, find_dataset_file, load_experiment_plan
from mars_engine.experiments.record import CELLS_FILE, EXPERIMENTS, LABORATORIES, LOCKS
from mars_engine.experiments.recorded_rewrites import read_mislabelled, read_rewrites, with_rewrites
from mars_engine.experiments.step_trainer import AdamWTrainer
from mars_engine.experiments.tools import ExperimentTools, TrainedMargins
from mars_engine.experiments.view_features import DropoutViewFeatures
from mars_engine.reward_models.kept_choice import FileKeeper
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.protocols import LinearTrainer
from mars_engine.reward_models.shelf import ProbeShelf
from mars_engine.reward_models.transformer.fine_tuning import find_backbone_folder
from mars_engine.reward_models.transformer.probe_start import ProbeSource
from mars_engine.store import open_store, sqlite_url
from mars_engine.workspace.workspace import ARTIFACTS, DATABASE_FILE, FEATURES_FILE


@dataclass(frozen=True, slots=True)
class LaboratoryFolders:
    """Laboratories in folders of their own, on the workbench's generators and one encoder."""

    folder: Path
    bench: Workbench
    encoder: CachedEncoder

    @contextmanager
    def open(self, name: str, config: MarsConfig) -> Iterator[Workbench]:
        """Open the workbench of that name, with the probe as its reward model; what it had made is there again."""
        root = self._root(name)
        root.mkdir(parents=True, exist_ok=True)
        trainer = ProbeTrainer(config.probe, self.encoder, FileKeeper(root / FEATURES_FILE))
        store = open_store(sqlite_url(root / DATABASE_FILE))
        try:
            yield replace(
                self.bench,
                config=config,
                store=store,
                encoder=self.encoder,
                trainer=trainer,
                probe_trainer=trainer,
                shelf=ProbeShelf(root, root / "models", trainer),
                refiner=ExtractiveRefiner(self.encoder, progress=self.bench.progress),
            )
        finally:
            store.close()

    def discard(self, name: str) -> None:
        shutil.rmtree(self._root(name), ignore_errors=True)

    def _root(self, name: str) -> Path:
        return self.folder / content_id(name)


@dataclass(frozen=True)
class WorkspaceExperiment:
    """A plan with its data, ready to be run in a workspace."""

    root: Path
    plan: ExperimentPlan
    datasets: Mapping[str, DatasetPairs]
    bench: Workbench
    backbone: Path | None = None
    """The folder of the transformer that is trained through LoRA; None where none is."""

    @cached_property
    def id(self) -> str:
        generators = [self.bench.paraphraser.card.fingerprint, self._refiner_fingerprint]
        tuning = self._backbone_tuning
        return experiment_id(
            self.plan,
            self.datasets,
            encoder=self._encoder.fingerprint,
            generators=generators,
            backbone=tuning.fingerprint if tuning else "",
        )

    @property
    def artifact(self) -> str:
        """The folder of the experiment's files, relative to the workspace."""
        return f"{EXPERIMENTS}/{self.id}"

    @property
    def folder(self) -> Path:
        return self.root / self.artifact

    @property
    def cells(self) -> CellJournal:
        return CellJournal(self.folder / CELLS_FILE)

    def tools(self) -> ExperimentTools:
        settings = self.plan.baselines
        views = DropoutViewEncoder(self._encoder, settings.dropout_views, settings.dropout_rate)
        return ExperimentTools(
            laboratories=LaboratoryFolders(self.root / LABORATORIES / self.id, self.bench, self.encoder),
            cells=self.cells,
            stepwise=AdamWTrainer(self.plan.training),
            views=DropoutViewFeatures(CachedEncoder(views, self._cache), settings.dropout_views),
            fine_tune=self._backbone_tuning or ProbeTuning(self.plan, self.bench.progress),
            count_tokens=token_counter(self._encoder),
            with_rewrites=with_rewrites,
            claim=DrawLocks(self.folder / LOCKS).claim,
            seconds=time.perf_counter,
            progress=self.bench.progress,
            add_point=self.bench.add_point,
        )

    @property
    def encoder(self) -> CachedEncoder:
        return CachedEncoder(self._encoder, self._cache)

    @cached_property
    def _encoder(self) -> SentenceEncoder:
        return SentenceEncoder(self.plan.encoder)

    @property
    def _backbone_tuning(self) -> "BackboneTuning | None":
        return BackboneTuning(self.plan, self.backbone, self.bench.progress) if self.backbone else None

    @property
    def _cache(self) -> Path:
        return self.root / ARTIFACTS / "embeddings"

    @property
    def _refiner_fingerprint(self) -> str:
        return ExtractiveRefiner(self.encoder, progress=self.bench.progress).card.fingerprint


@dataclass(frozen=True, slots=True)
class ProbeTuning:
    """Fine-tunes the packaged encoder from the probe of a training set."""

    plan: ExperimentPlan
    progress: Progress

    def __call__(
        self, linear: LinearTrainer, training_set: TrainingSet, heldout: Sequence[Pair], *, steps: int, seed: int
    ) -> TrainedMargins:
        """Take so many optimizer steps, and return margins.

        Raises:
            TypeError: the features are not a probe's.
            ConfigError: the plan's encoder is not the packaged one, or the probe looks at sentence embeddings.
        """
        from mars_engine.reward_models.transformer.stepwise.frozen_layers import FrozenTuning
        from mars_engine.reward_models.transformer.stepwise.training import StepTraining

        if not isinstance(linear, ProbeTrainer):
            raise TypeError(f"fine-tuning starts from a probe, not from {type(linear).__name__}")
        settings, folder = self.plan.training, find_backbone_folder("packaged")
        source = ProbeSource(on_hidden_layers(linear), self.plan.encoder.max_tokens)
        source.require_encoder(folder)
        training = StepTraining(settings.batch_size, settings.learning_rate, settings.weight_decay)
        tuning = FrozenTuning(folder, settings.frozen_layers, training)
        start = source.start(training_set, progress=self.progress)
        tuned = tuning.margins(start, training_set, heldout, steps=steps, seed=seed, progress=self.progress)
        return TrainedMargins(tuned.train, tuned.heldout)


def on_hidden_layers(probe: ProbeTrainer) -> ProbeTrainer:
    """Return the trainer of a probe to fine-tune from: its best hidden layers, where it chose the sentence embedding.

    A sentence embedding that the settings ask for stays, and is refused.
    """
    choice = probe.kept_choice()
    if choice is None or choice.features.text.layers:
        return probe
    tried = [each for each in choice.candidates if each.text.layers]
    if not tried:
        return probe
    best = min(tried, key=lambda candidate: candidate.log_loss)
    layers = ",".join(map(str, best.text.layers))
    config = probe.config.model_copy(update={"layers": layers, "reading": best.text.reading, "l2": best.l2})
    return ProbeTrainer(config, probe.encoder)


@dataclass(frozen=True, slots=True)
class BackboneTuning:
    """Fine-tunes any transformer through LoRA; the probe has no part in that."""

    plan: ExperimentPlan
    folder: Path
    progress: Progress

    @property
    def fingerprint(self) -> str:
        """Stands for the backbone's files and the adapters in an experiment's cells."""
        config = self.plan.lora_config
        return fingerprint_folder(self.folder, beside=f"{config.lora_r} {config.lora_alpha} {config.lora_dropout}")

    def __call__(
        self,
        linear: LinearTrainer,  # noqa: ARG002
        training_set: TrainingSet,
        heldout: Sequence[Pair],
        *,
        steps: int,
        seed: int,
    ) -> TrainedMargins:
        """Take so many optimizer steps, and return margins.

        Raises:
            ModelError: the backbone or the device cannot be used.
            ConfigError: the length limit does not fit the backbone, or it has no layer above the frozen ones.
        """
        from mars_engine.reward_models.transformer.stepwise.adapters import AdapterTuning
        from mars_engine.reward_models.transformer.stepwise.training import StepTraining

        settings = self.plan.training
        training = StepTraining(settings.batch_size, settings.learning_rate, settings.weight_decay)
        tuning = AdapterTuning(self.folder, settings.frozen_layers, self.plan.lora_config, training)
        tuned = tuning.margins(training_set, heldout, steps=steps, seed=seed, progress=self.progress)
        return TrainedMargins(tuned.train, tuned.heldout)


def open_experiment(root: Path, plan_path: Path, bench: Workbench, *, download: bool = True) -> WorkspaceExperiment:
    """Read a plan and its data, and find the backbone that it names.

    Args:
        root: the workspace.
        plan_path: the plan, a TOML file.
        bench: the workspace's generators, clock and progress.
        download: whether a backbone of the hub that is not on this machine is downloaded.

    Raises:
        ConfigError: the plan cannot be used, or names a file that is not there.
        LoadError: a file cannot be read as preference pairs.
        ModelError: there is no such backbone.
    """
    plan = load_experiment_plan(plan_path)
    datasets = {dataset.name: read_dataset(dataset, plan_path) for dataset in plan.datasets}
    name = plan.training.backbone
    backbone = find_plan_backbone(name, plan_path, download=download) if plan.training.takes_lora else None
    return WorkspaceExperiment(root, plan, datasets, bench, backbone)


def find_plan_backbone(name: str, plan_path: Path, *, download: bool) -> Path:
    """Return the folder of a backbone: beside the plan where it is there, else as `find_model_folder` finds it.

    Raises:
        ModelError: there is no such backbone.
    """
    beside = plan_path.resolve().parent / name
    if name != PACKAGED_LM and beside.is_dir():
        return beside
    return find_model_folder(
        name,
        purpose="backbone",
        expected="'packaged', 'packaged-lm', a folder with a transformer, or a hub id such as owner/name",
        setting=f"'backbone' under [training] of {plan_path}",
        download=download,
    )


def read_dataset(dataset: DatasetPlan, plan_path: Path) -> DatasetPairs:
    """Read a dataset's pairs, its own held-out pairs, its recorded rewrites, and which labels are known to be wrong."""
    files = [find_dataset_file(path, plan_path) for path in dataset.paths]
    heldout = [find_dataset_file(path, plan_path) for path in dataset.heldout_paths]
    sources, heldout_sources = (
        [open_source(str(file), format=dataset.format or None) for file in some] for some in (files, heldout)
    )
    rewrites = read_rewrites(find_dataset_file(dataset.rewrites, plan_path), sources) if dataset.rewrites else {}
    wrong = read_mislabelled(files, sources, dataset.mislabelled) if dataset.mislabelled else frozenset()
    return DatasetPairs(read_pairs(sources), read_pairs(heldout_sources), wrong, rewrites)


def token_counter(encoder: SentenceEncoder) -> Callable[[Sequence[str]], IntArray]:
    """Return what counts tokens for an experiment's costs: of a text in full, with special tokens, each text once."""
    known: dict[str, int] = {}

    def count(texts: Sequence[str]) -> IntArray:
        fresh = list(dict.fromkeys(text for text in texts if text not in known))
        for text, row in zip(fresh, encoder.tokenize([Passage(text) for text in fresh]), strict=True):
            known[text] = len(row.token_ids) + row.text_tokens_cut
        return np.array([known[text] for text in texts], dtype=np.int64)

    return count
