"""A workspace: a folder with its settings, its database and its artifacts, opened as a workbench."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mars_engine.augment.quality.languages import PackagedLanguageDetector
from mars_engine.augment.workbench import Workbench
from mars_engine.core.clock import utc_now
from mars_engine.core.config import PROBE_BACKBONE, MarsConfig, config_as_toml, load_config, update_toml
from mars_engine.core.errors import WorkspaceError
from mars_engine.core.file_names import fault_of_name
from mars_engine.core.progress import Progress
from mars_engine.core.records import EvaluationRecord
from mars_engine.core.whole_file import completed_file
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.maps import MapShelf
from mars_engine.embeddings.protocols import Encoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.evaluate.benchmark_folder import BenchmarkFolder
from mars_engine.evaluate.rewardbench import KINDS
from mars_engine.reward_models.kept_choice import FileKeeper
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.protocols import RewardModelTrainer
from mars_engine.reward_models.shelf import ProbeShelf, RewardModelShelf
from mars_engine.reward_models.transformer.fine_tuning import TransformerTrainer
from mars_engine.reward_models.transformer.probe_start import ProbeSource
from mars_engine.reward_models.transformer.shelf import TransformerShelf
from mars_engine.store import Store, open_store, sqlite_url
from mars_engine.workspace.generators import open_generators

CONFIG_FILE = "mars.toml"
DATABASE_FILE = "mars.sqlite"
ARTIFACTS = "artifacts"
MODELS = "models"
CHECKPOINTS = "checkpoints"
FEATURES_FILE = "probe-features.json"
WORKSPACE_VARIABLE = "MARS_WORKSPACE"
BENCHMARK_NAMES = {"rewardbench": "RewardBench", "rewardbench2": "RewardBench 2"}


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace folder and its settings."""

    root: Path
    config: MarsConfig

    @property
    def database_url(self) -> str:
        return self.config.database_url or sqlite_url(self.root / DATABASE_FILE)

    @property
    def artifacts(self) -> Path:
        return self.root / ARTIFACTS


def create_workspace(root: Path, config: MarsConfig | None = None) -> Workspace:
    """Make a folder a workspace, with its settings and an empty database.

    Raises:
        WorkspaceError: it is one already, or the folder cannot be written.
    """
    path = root / CONFIG_FILE
    _require_usable_name(root)
    if path.exists():
        raise WorkspaceError(f"{root} is a workspace already", remedy="use it, or name another folder")
    config = config or MarsConfig()
    try:
        (root / ARTIFACTS).mkdir(parents=True, exist_ok=True)
        with completed_file(path) as part:
            part.write_text(config_as_toml(config), encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"the workspace {root} cannot be written: {error}", remedy="check the path and its permissions"
        ) from error
    workspace = Workspace(root, config)
    open_store(workspace.database_url).close()
    return workspace


def find_workspace(root: Path) -> Workspace:
    """Open a workspace's settings.

    Raises:
        WorkspaceError: the folder is not a workspace.
        ConfigError: its mars.toml has something that cannot be used.
    """
    _require_usable_name(root)
    if not (root / CONFIG_FILE).is_file():
        raise WorkspaceError(
            f"{root} is not a workspace: it has no {CONFIG_FILE}",
            remedy=f"run 'mars --workspace {root} init', or name another folder by --workspace or {WORKSPACE_VARIABLE}",
        )
    return Workspace(root, load_config(root / CONFIG_FILE))


def _require_usable_name(root: Path) -> None:
    for part in (Path(each) for each in root.parts):
        if fault := fault_of_name(part):
            raise WorkspaceError(fault.replace("file", "folder", 1), remedy="name another folder, or rename it")


def save_config(workspace: Workspace, config: MarsConfig) -> Workspace:
    """Write the settings to the workspace's mars.toml, whole or not at all, and return the workspace with them.

    What people wrote into the file, comments and order, is kept where it can be.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    path = workspace.root / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        with completed_file(path) as part:
            part.write_text(update_toml(text, config) if text else config_as_toml(config), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(
            f"the settings cannot be written to {path}: {error}",
            remedy="check its permissions and the space on its disk",
        ) from error
    return Workspace(workspace.root, config)


@contextmanager
def open_workspace_store(workspace: Workspace) -> Iterator[Store]:
    """Open the database alone: for what needs no model, such as pages and `mars status`."""
    store = open_store(workspace.database_url)
    try:
        yield store
    finally:
        store.close()


def map_shelf(workspace: Workspace) -> MapShelf:
    """Return the shelf of the workspace's semantic maps; nothing is read before a map is asked for."""
    return MapShelf(workspace.artifacts / "maps")


def make_encoder(workspace: Workspace) -> CachedEncoder:
    """Return the workspace's encoder, with what it has encoded before. Nothing heavy is imported before it is used."""
    return CachedEncoder(
        SentenceEncoder(workspace.config.encoder),
        workspace.artifacts / "embeddings",
        companions=choice_keeper(workspace).response_states,
    )


def choice_keeper(workspace: Workspace) -> FileKeeper:
    """Return what keeps the features that were chosen for the workspace's probes."""
    return FileKeeper(workspace.artifacts / FEATURES_FILE)


def make_probe_trainer(workspace: Workspace, encoder: Encoder) -> ProbeTrainer:
    """Return what fits the workspace's probes on an encoder's hidden states."""
    return ProbeTrainer(workspace.config.probe, encoder, choice_keeper(workspace))


@contextmanager
def open_workbench(workspace: Workspace, progress: Progress, *, may_download: bool = True) -> Iterator[Workbench]:
    """Open a workspace with its models and generators. Nothing heavy is imported before it is used."""
    config = workspace.config
    encoder = make_encoder(workspace)
    probe_trainer = make_probe_trainer(workspace, encoder)
    with (
        open_workspace_store(workspace) as store,
        open_generators(
            workspace.root,
            config,
            encoder,
            store.chat,
            progress=progress,
            clock=utc_now,
            may_download=may_download,
        ) as generators,
    ):
        yield Workbench(
            config=config,
            store=store,
            encoder=encoder,
            trainer=_configured_trainer(workspace, probe_trainer),
            probe_trainer=probe_trainer,
            shelf=_model_shelf(workspace, probe_trainer),
            paraphraser=generators.paraphraser,
            refiner=generators.refiner,
            clock=utc_now,
            progress=progress,
            languages=PackagedLanguageDetector(),
            benchmark_texts=lambda: _evaluated_texts(workspace, store),
            judge=generators.judge,
            label_judge=generators.label_judge,
            fluency=generators.fluency,
        )


def _evaluated_texts(workspace: Workspace, store: Store) -> dict[str, list[str]]:
    """Return the texts of the benchmarks that models were evaluated on, by the benchmark's name."""
    newest: dict[tuple[str, str], EvaluationRecord] = {}
    for kind in KINDS.values():
        for record in store.evaluations.all(kind):
            if record.artifact:
                newest.setdefault((kind, str(record.settings.get("source"))), record)
    texts: dict[str, list[str]] = {}
    for (benchmark, _), record in newest.items():
        found = BenchmarkFolder(workspace.root, record.artifact).evaluated_texts()
        texts.setdefault(BENCHMARK_NAMES[benchmark], []).extend(found)
    return texts


def _configured_trainer(workspace: Workspace, probe_trainer: ProbeTrainer) -> RewardModelTrainer:
    config = workspace.config.reward_model
    if config.backbone == PROBE_BACKBONE:
        return probe_trainer
    source = ProbeSource(probe_trainer, workspace.config.encoder.max_tokens)
    return TransformerTrainer(config, workspace.artifacts / CHECKPOINTS, source)


def _model_shelf(workspace: Workspace, probe_trainer: ProbeTrainer) -> RewardModelShelf:
    """Return the shelf of all models that were trained here, whatever is configured now."""
    config, models = workspace.config.reward_model, workspace.artifacts / MODELS
    return RewardModelShelf(
        probes=ProbeShelf(workspace.root, models, probe_trainer),
        transformers=TransformerShelf(
            workspace.root, models, workspace.artifacts / CHECKPOINTS, config.device, config.batch_tokens
        ),
    )
