"""Metrics of a training go to a tracker through transformers' own callbacks, and nowhere unless that is asked for."""

import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, get_args

import pytest
from fakes import make_pairs
from tiny_transformers import save_tiny_backbone
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from mars_engine.core.config import RewardModelConfig, Tracker
from mars_engine.core.errors import ConfigError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import TrainingSet
from mars_engine.reward_models.transformer import tracking
from mars_engine.reward_models.transformer.fine_tuning import TransformerTrainer

pytestmark = pytest.mark.model

PAIRS = TrainingSet.plain(make_pairs(20, seed=1))
CONFIG = RewardModelConfig(
    max_tokens=96, batch_size=4, epochs=2, learning_rate=1e-3, checkpoint_every=3, warmup=0.2, device="cpu"
)
STEPS = list(range(1, 11))
TRACKERS = [name for name in get_args(Tracker) if name != "none"]


@dataclass
class Notes:
    """Remembers what the workspace is told, and interrupts after a step."""

    stop_at: int = 0
    points: dict[str, dict[int, float]] = field(default_factory=dict)

    def add_point(self, metric: str, step: int, value: float) -> None:
        self.points.setdefault(metric, {})[step] = value
        if step == self.stop_at and metric == "training margin":
            signal.raise_signal(signal.SIGINT)

    def add_epoch(self, *_: Any) -> None:
        raise AssertionError


class Recorder(TrainerCallback):
    """Stands in for a tracker's callback."""

    runs: ClassVar[list[str]] = []
    logged: ClassVar[list[tuple[int, dict[str, float]]]] = []

    def on_train_begin(self, args: Any, *_: Any, **__: Any) -> None:
        self.runs.append(args.run_name)

    def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, float], **___: Any) -> None:
        self.logged.append((state.global_step, dict(logs)))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    texts = [text for pair in PAIRS.pairs for text in (pair.prompt[0].content, pair.chosen, pair.rejected)]
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"), "roberta", texts)


@pytest.fixture(autouse=True)
def _every_step_has_its_point(monkeypatch) -> None:
    monkeypatch.setattr("mars_engine.reward_models.transformer.trainer.SECONDS_BETWEEN_POINTS", 0.0)


@pytest.fixture
def recorder(monkeypatch) -> type[Recorder]:
    """Has every tracker that transformers knows recorded."""
    Recorder.runs, Recorder.logged = [], []
    monkeypatch.setattr(tracking, "get_available_reporting_integrations", lambda: TRACKERS)
    for name in integration_utils.INTEGRATION_TO_CALLBACK:
        monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, name, Recorder)
    return Recorder


@pytest.fixture
def trainer(backbone, tmp_path) -> Callable[..., TransformerTrainer]:
    def make(**settings: Any) -> TransformerTrainer:
        config = CONFIG.model_copy(update={"backbone": str(backbone), **settings})
        return TransformerTrainer(config, tmp_path / "checkpoints")

    return make


def train(made: TransformerTrainer, notes: Notes | None = None) -> Any:
    return made.train(PAIRS, progress=SilentProgress(), notes=notes)


def test_nothing_is_reported_unless_asked_for_not_even_inside_kubeflow(trainer, recorder, monkeypatch):
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    train(trainer())
    assert (recorder.runs, recorder.logged) == ([], [])


def test_each_step_has_its_metrics_by_name_and_the_run_is_called_as_the_model(trainer, recorder):
    made, notes = trainer(report_to="trackio"), Notes()
    train(made, notes)
    assert recorder.runs == [made.model_id(PAIRS)]
    assert [step for step, _ in recorder.logged] == STEPS
    for step, logs in recorder.logged:
        assert set(logs) == {"loss", "accuracy", "margin", "learning_rate", "epoch"}
        for name in ("loss", "accuracy", "margin"):
            assert logs[name] == notes.points[f"training {name}"][step]
    rates = [logs["learning_rate"] for _, logs in recorder.logged]
    assert max(rates) == rates[1] == CONFIG.learning_rate
    assert rates[-1] == 0


def test_a_training_that_goes_on_reports_the_steps_that_follow_and_no_summary(trainer, recorder):
    with pytest.raises(KeyboardInterrupt):
        train(trainer(report_to="mlflow"), Notes(stop_at=4))
    assert [step for step, _ in recorder.logged] == STEPS[:4]
    train(trainer(report_to="mlflow"))
    assert [step for step, _ in recorder.logged] == STEPS
    assert all("loss" in logs for _, logs in recorder.logged)


def test_early_stopping_reports_the_loss_on_the_pairs_set_aside(trainer, recorder):
    train(trainer(report_to="mlflow", early_stopping_patience=5, validation_percent=20))
    losses = {step: logs["eval_loss"] for step, logs in recorder.logged if "eval_loss" in logs}
    assert list(losses) == [4, 8]
    assert all(value > 0 for value in losses.values())


def test_where_metrics_go_makes_no_other_model(trainer):
    assert len({trainer(report_to=name).model_id(PAIRS) for name in get_args(Tracker)}) == 1


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_that_is_not_installed_is_told_before_training_begins(tracker, trainer, monkeypatch):
    monkeypatch.setattr(tracking, "get_available_reporting_integrations", lambda: ["codecarbon"])
    made = trainer(report_to=tracker)
    with pytest.raises(ConfigError, match=rf"'{tracker}' is not installed.*pip install {tracker}"):
        train(made)
    assert not made.checkpoints.exists()


def test_of_several_processes_the_first_reports(recorder, tmp_path):
    other = SimpleNamespace(is_world_process_zero=lambda: False)
    with tracking.tracked(other, "trackio", tensorboard=tmp_path):
        pass
    assert recorder.runs == []


@pytest.mark.parametrize("begun_before", [False, True])
def test_a_run_of_weights_and_biases_ends_with_its_training_unless_it_was_there_before(
    begun_before, recorder, monkeypatch, tmp_path
):
    ended: list[bool] = []
    stand_in = SimpleNamespace(run=object() if begun_before else None, finish=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    added: list[Any] = []
    first = SimpleNamespace(is_world_process_zero=lambda: True, add_callback=added.append)
    with pytest.raises(KeyboardInterrupt), tracking.tracked(first, "wandb", tensorboard=tmp_path):
        raise KeyboardInterrupt
    assert [type(each) for each in added] == [recorder]
    assert ended == ([] if begun_before else [True])


@pytest.mark.parametrize("own_folder", [False, True])
def test_tensorboard_has_one_curve_of_a_training_that_was_interrupted(own_folder, trainer, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    if own_folder:
        monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "own"))
    with pytest.raises(KeyboardInterrupt):
        train(trainer(report_to="tensorboard"), Notes(stop_at=4))
    made, notes = trainer(report_to="tensorboard"), Notes()
    train(made, notes)
    folder = tmp_path / ("own" if own_folder else "tensorboard") / made.model_id(PAIRS)
    events = EventAccumulator(str(folder))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        f"train/{name}" for name in ("loss", "accuracy", "margin", "learning_rate", "epoch")
    }
    curve = {event.step: event.value for event in events.Scalars("train/loss")}
    assert list(curve) == STEPS
    assert curve[10] == pytest.approx(notes.points["training loss"][10])
