"""Experiment trackers that follow a training, by transformers' own callbacks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import Trainer
from transformers.integrations.integration_utils import (
    TensorBoardCallback,
    get_available_reporting_integrations,
    get_reporting_integration_callbacks,
)

from mars_engine.core.config import Tracker
from mars_engine.core.errors import ConfigError

TENSORBOARD = "tensorboard"
"""The folder of TensorBoard's files, beside that of the checkpoints, which go when a model is saved."""
NAMES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "mlflow": "MLflow", "trackio": "Trackio"}
"""By the name of the package."""


def require_tracker(tracker: Tracker) -> None:
    """Raise ConfigError unless transformers can report to a tracker here."""
    if tracker == "none" or tracker in get_available_reporting_integrations():  # type: ignore[no-untyped-call]
        return
    raise ConfigError(
        f"metrics are to go to {NAMES[tracker]}, and the package {tracker!r} is not installed or is switched off",
        expected="a tracker that transformers finds, or 'none'",
        remedy=f"run 'pip install {tracker}', or set report_to = \"none\" under [reward_model] in mars.toml",
    )


@contextmanager
def tracked(trainer: Trainer, tracker: Tracker, *, tensorboard: Path) -> Iterator[None]:
    """Have a tracker follow what a trainer logs meanwhile; of several processes the first alone reports.

    Args:
        trainer: whose logs they are.
        tracker: must be installed; see `require_tracker`.
        tensorboard: where TensorBoard's files go, unless TENSORBOARD_LOGGING_DIR names a folder for all runs.
    """
    if tracker == "none" or not trainer.is_world_process_zero():
        yield
        return
    (callback_type,) = get_reporting_integration_callbacks(tracker)  # type: ignore[no-untyped-call]
    callback = callback_type()
    if isinstance(callback, TensorBoardCallback):
        folder = Path(callback.logging_dir) / tensorboard.name if callback.logging_dir else tensorboard
        callback.logging_dir = str(folder)
    trainer.add_callback(callback)
    if tracker != "wandb":
        yield
        return
    import wandb

    begun_before = wandb.run is not None
    try:
        yield
    finally:
        if not begun_before:  # transformers leaves it open, and the next training would go on in it
            wandb.finish()
