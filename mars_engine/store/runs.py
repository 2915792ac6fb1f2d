"""Runs and their metric values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import nan
from typing import Any

from sqlalchemy import delete, func, select, update

from mars_engine.core.errors import StoreError
from mars_engine.core.records import Run, RunState
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import (
    first_record,
    insert_or_replace,
    insert_rows,
    next_ordinal,
    record_columns,
    record_values,
    records,
)


@dataclass(frozen=True, slots=True)
class RunStore:
    """Runs and their metric values."""

    database: Database

    def start(self, run: Run) -> None:
        """Store a run; one that is queued under its id makes place for it.

        Raises:
            StoreError: a run with this id is stored already, and is not queued.
        """
        stored = schema.runs.c
        with self.database.write() as connection:
            connection.execute(delete(schema.runs).where(stored.id == run.id, stored.state == "queued"))
            insert_rows(
                connection, schema.runs, [{"ordinal": next_ordinal(connection, schema.runs), **record_values(run)}]
            )

    def heartbeat(self, run_id: str, at: datetime) -> None:
        """Note that a run is alive.

        Raises:
            StoreError: no such run is stored.
        """
        self._update(run_id, heartbeat_at=at)

    def report_progress(self, run_id: str, at: datetime, progress: Mapping[str, Any]) -> None:
        """Note how far a run has come, and that it is alive.

        Raises:
            StoreError: no such run is stored.
        """
        self._update(run_id, heartbeat_at=at, progress=progress)

    def finish(
        self, run_id: str, state: RunState, at: datetime, *, summary: Mapping[str, Any], error: str = ""
    ) -> None:
        """Note how a run ended.

        Raises:
            StoreError: no such run is stored.
        """
        self._update(run_id, state=state, ended_at=at, summary=summary, error=error)

    def add_point(self, run_id: str, metric: str, step: int, value: float) -> None:
        """Store a metric's value at a step; a step that is done again has its last value."""
        row = {"run_id": run_id, "metric": metric, "step": step, "value": value}
        with self.database.write() as connection:
            insert_or_replace(connection, schema.run_points, [row])

    def points(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """Values by metric, each a list of (step, value) in order of step."""
        points = schema.run_points.c
        statement = select(points.metric, points.step, points.value).where(points.run_id == run_id)
        by_metric: dict[str, list[tuple[int, float]]] = {}
        with self.database.read() as connection:
            for metric, step, value in connection.execute(statement.order_by(points.metric, points.step)):
                by_metric.setdefault(metric, []).append((step, nan if value is None else value))
        return by_metric

    def get(self, run_id: str) -> Run | None:
        statement = select(*record_columns(Run, schema.runs)).where(schema.runs.c.id == run_id)
        with self.database.read() as connection:
            return first_record(connection, Run, statement)

    def all(self) -> list[Run]:
        """All runs, newest first."""
        return self.newest(None)

    def newest(
        self,
        count: int | None,
        *,
        state: RunState | None = None,
        kinds: Collection[str] | None = None,
        started_before: datetime | None = None,
    ) -> list[Run]:
        """The newest runs, newest first.

        Args:
            count: how many at most; None for all.
            state: only those in this state.
            kinds: only those of these kinds.
            started_before: only those that were started before this moment.
        """
        stored = schema.runs.c
        statement = select(*record_columns(Run, schema.runs)).order_by(stored.ordinal.desc()).limit(count)
        if state is not None:
            statement = statement.where(stored.state == state)
        if kinds is not None:
            statement = statement.where(stored.kind.in_(kinds))
        if started_before is not None:
            statement = statement.where(stored.started_at < started_before)
        with self.database.read() as connection:
            return records(connection, Run, statement)

    def count(self) -> int:
        with self.database.read() as connection:
            return connection.execute(select(func.count()).select_from(schema.runs)).scalar_one()

    def _update(self, run_id: str, **values: Any) -> None:
        with self.database.write() as connection:
            changed = connection.execute(update(schema.runs).where(schema.runs.c.id == run_id).values(**values))
            if changed.rowcount == 0:
                raise StoreError(f"there is no run {run_id!r}", remedy="'mars status' lists the runs")
