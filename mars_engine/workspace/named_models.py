"""Reward models by name: those of the workspace, the newest of another, and those from a folder or the hub."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mars_engine.align.prompts import trained_prompts
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import InputFormat
from mars_engine.core.errors import ModelError, NotReadyError
from mars_engine.core.records import ModelRecord
from mars_engine.embeddings.model_folder import is_on_this_machine
from mars_engine.reward_models.model_labels import models_named, named_model
from mars_engine.reward_models.protocols import RewardModel
from mars_engine.store import Store
from mars_engine.workspace.workspace import CONFIG_FILE, find_workspace, open_workbench

if TYPE_CHECKING:
    from mars_engine.reward_models.foreign import ForeignModel

LONGEST_INPUT = 2048
"""Longest input of a reward model from a folder or the hub, in tokens: that of RewardBench's official script."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A loaded reward model and what it is called; of a workspace's, what it was trained on and its scale too."""

    label: str
    model: RewardModel
    trained_on: frozenset[str] | None = None
    """Ids of prompts."""
    read_scale: Callable[[], tuple[float, float]] = lambda: (0.0, 1.0)
    """Reads mean and deviation of its rewards of the workspace's own pairs."""

    def prompts_seen(self, prompts: Collection[str], *, role: str) -> list[str]:
        """Say how many of these prompts, by id, a workspace's model was trained on; nothing where none or unknown."""
        seen = sum(prompt in (self.trained_on or ()) for prompt in prompts)
        said = f"{seen:,} of {len(prompts):,} prompts are among those that the {role} {self.label} was trained on."
        return [said] if seen else []


def newest_model(bench: Workbench) -> ModelRecord:
    """Return the workspace's reward model that was trained last.

    Raises:
        NotReadyError: none is trained yet.
    """
    model = bench.store.models.latest()
    if model is None:
        raise NotReadyError("no reward model is trained yet", remedy="run 'mars train' first")
    return model


def stored_model(bench: Workbench, name: str) -> ModelRecord | None:
    """Return the workspace's newest reward model of an id, its beginning, or a label; None where there is none."""
    return next(reversed(models_named(bench.store.models.all(), name)), None)


def chosen_models(bench: Workbench, names: Sequence[str]) -> list[ModelRecord]:
    """Return the workspace's reward models of these ids or labels; all where none is named."""
    models = bench.store.models.all()
    if not models:
        newest_model(bench)  # raises
    if not names:
        return models
    return [named_model(models, name) for name in dict.fromkeys(names)]


@contextmanager
def open_named_model(bench: Workbench, name: str, *, role: str, download: bool = False) -> Iterator[NamedModel]:
    """Load a reward model: of the workspace by id or label, the newest of another workspace, a folder's, or a hub's.

    Args:
        bench: of the workspace.
        name: what a person wrote.
        role: what it is named for, as errors say it, such as "judge".
        download: whether the hub may be asked.

    Raises:
        ModelError: there is no such model, or it cannot be loaded.
        NotReadyError: the other workspace has no model yet.
    """
    own = stored_model(bench, name)
    folder = Path(name).expanduser()
    if own is not None:
        yield _own_model(bench, own, own.label)
    elif (folder / CONFIG_FILE).is_file():
        with open_workbench(find_workspace(folder), bench.progress, may_download=False) as other:
            model = newest_model(other)
            yield _own_model(other, model, f"{model.label} of {folder.resolve().name}")
    else:
        yield _foreign_model(bench, name, role, download=download)


def _own_model(bench: Workbench, record: ModelRecord, label: str) -> NamedModel:
    trained = frozenset(trained_prompts(bench.store, [record]))
    return NamedModel(label, bench.shelf.load(record), trained, lambda: scale_of(bench.store, record))


def scale_of(store: Store, record: ModelRecord) -> tuple[float, float]:
    """Return mean and deviation of a model's rewards of the workspace's pairs; 0 and 1 where it has scored none."""
    sides = np.array(list(store.models.scores(record.id).values())).ravel()
    deviation = float(sides.std()) if len(sides) else 0.0
    return (float(sides.mean()), deviation) if deviation else (0.0, 1.0)


def _foreign_model(bench: Workbench, name: str, role: str, *, download: bool) -> NamedModel:
    if not download and not is_on_this_machine(name):
        raise ModelError(
            f"the {role} {name!r} is no model of the workspace, no folder, and no model that the hub's cache here has",
            expected="a model's id or label, another workspace, a reward model's folder, or a hub id",
            remedy=f"correct the name of the {role}; 'mars best-of-n --download' fetches a model of the hub",
        )
    label, found = load_from_elsewhere(bench, name)
    return NamedModel(label, found.model)


def load_from_elsewhere(
    bench: Workbench, name: str, *, max_tokens: int = LONGEST_INPUT, input_format: InputFormat | None = None
) -> "tuple[str, ForeignModel]":
    """Load a reward model from a folder or the hub; what it is called, and the model. See `load_foreign_model`."""
    from mars_engine.reward_models.foreign import load_foreign_model  # torch and transformers take seconds

    config = bench.config.reward_model
    found = load_foreign_model(
        name,
        max_tokens=max_tokens,
        batch_tokens=config.batch_tokens,
        device=config.device,
        input_format=input_format,
    )
    return Path(name).name if Path(name).is_dir() else name, found
