"""Reward models, their scores and what triage said."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, exists, select, update

from mars_engine.core.records import ModelRecord, Rewards, TriageRow
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import (
    first_record,
    insert_as_latest,
    insert_or_replace,
    insert_rows,
    note_change,
    record_columns,
    record_values,
    records,
)

_MODELS = select(*record_columns(ModelRecord, schema.reward_models))


@dataclass(frozen=True, slots=True)
class ModelStore:
    """Reward models, their scores and what triage said."""

    database: Database

    def add(self, model: ModelRecord) -> None:
        """Store a model as the latest; one that is present becomes the latest, made for the composition given now."""
        table = schema.reward_models
        with self.database.write() as connection:
            if not insert_as_latest(connection, table, record_values(model)):
                made_for = {"label": model.label, "composition_id": model.composition_id, "round": model.round}
                connection.execute(update(table).where(table.c.id == model.id).values(made_for))
            note_change(connection, "models")

    def get(self, model_id: str) -> ModelRecord | None:
        with self.database.read() as connection:
            return first_record(connection, ModelRecord, _MODELS.where(schema.reward_models.c.id == model_id))

    def all(self) -> list[ModelRecord]:
        """All models, the latest last."""
        with self.database.read() as connection:
            return records(connection, ModelRecord, _MODELS.order_by(schema.reward_models.c.ordinal))

    def latest(self, *, warm_up: bool = False) -> ModelRecord | None:
        """The newest model, or with `warm_up` the newest that was trained on base pairs alone."""
        statement = _MODELS.order_by(schema.reward_models.c.ordinal.desc())
        if warm_up:
            statement = statement.where(schema.reward_models.c.composition_id == "")
        with self.database.read() as connection:
            return first_record(connection, ModelRecord, statement)

    def save_scores(self, model_id: str, pair_ids: Sequence[str], rewards: Rewards) -> None:
        """Store rewards, replacing those of the same model and pair, in one transaction."""
        columns = (rewards.chosen.tolist(), rewards.rejected.tolist(), rewards.margins.tolist())
        rows = [
            {
                "model_id": model_id,
                "pair_id": pair_id,
                "chosen_reward": chosen,
                "rejected_reward": rejected,
                "margin": margin,
            }
            for pair_id, chosen, rejected, margin in zip(pair_ids, *columns, strict=True)
        ]
        with self.database.write() as connection:
            insert_or_replace(connection, schema.scores, rows)
            note_change(connection, "scores")

    def scores(self, model_id: str) -> dict[str, tuple[float, float]]:
        """Rewards (chosen, rejected) by pair id."""
        scores = schema.scores.c
        statement = select(scores.pair_id, scores.chosen_reward, scores.rejected_reward)
        with self.database.read() as connection:
            rows = connection.execute(statement.where(scores.model_id == model_id))
            return {row.pair_id: (row.chosen_reward, row.rejected_reward) for row in rows}

    def save_epoch(self, model_id: str, epoch: int, margins: Mapping[str, float]) -> None:
        """Store base pairs' margins after an epoch of a model's training, replacing those there, in one transaction.

        They are signed by the label that the model is trained on (see `TrainingNotes.add_epoch`). The model itself need
        not be stored: it is still in training.
        """
        rows = [
            {"model_id": model_id, "epoch": epoch, "pair_id": pair_id, "margin": margin}
            for pair_id, margin in margins.items()
        ]
        with self.database.write() as connection:
            insert_or_replace(connection, schema.trajectories, rows)
            note_change(connection, "trajectories")

    def trajectories(self, model_id: str) -> dict[str, list[float]]:
        """Margins after each epoch of a model's training, by pair id; those of epochs 1, 2, … in their order."""
        stored = schema.trajectories.c
        statement = select(stored.pair_id, stored.margin).where(stored.model_id == model_id).order_by(stored.epoch)
        margins: dict[str, list[float]] = defaultdict(list)
        with self.database.read() as connection:
            for pair_id, margin in connection.execute(statement):
                margins[pair_id].append(margin)
        return dict(margins)

    def with_trajectories(self) -> list[ModelRecord]:
        """The models with margins after each epoch, the latest last."""
        models = schema.reward_models.c
        is_kept = exists().where(schema.trajectories.c.model_id == models.id)
        with self.database.read() as connection:
            return records(connection, ModelRecord, _MODELS.where(is_kept).order_by(models.ordinal))

    def trajectories_of(self, pair_id: str) -> dict[str, list[float]]:
        """A pair's margins after each epoch, by the id of the model in training."""
        stored = schema.trajectories.c
        statement = select(stored.model_id, stored.margin).where(stored.pair_id == pair_id).order_by(stored.epoch)
        margins: dict[str, list[float]] = defaultdict(list)
        with self.database.read() as connection:
            for model_id, margin in connection.execute(statement):
                margins[model_id].append(margin)
        return dict(margins)

    def save_triage(self, model_id: str, rows: Sequence[TriageRow]) -> None:
        """Store the triage of a model's pairs, replacing an earlier one, in one transaction."""
        positioned = [
            {"model_id": model_id, "position": position, **record_values(row)} for position, row in enumerate(rows)
        ]
        with self.database.write() as connection:
            connection.execute(delete(schema.triage).where(schema.triage.c.model_id == model_id))
            insert_rows(connection, schema.triage, positioned)
            note_change(connection, "triage")

    def triage(self, model_id: str) -> list[TriageRow]:
        """The triage under a model, in the order it was stored."""
        statement = select(*record_columns(TriageRow, schema.triage)).where(schema.triage.c.model_id == model_id)
        with self.database.read() as connection:
            return records(connection, TriageRow, statement.order_by(schema.triage.c.position))
