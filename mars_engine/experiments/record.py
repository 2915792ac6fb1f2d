"""What is kept of an experiment: its record in the database, and its files in the workspace."""

from dataclasses import dataclass
from pathlib import Path

from mars_engine.core.errors import StoreError
from mars_engine.core.records import EvaluationRecord
from mars_engine.experiments.results import ExperimentResults, results_from_plain
from mars_engine.store import Store
from mars_engine.workspace.workspace import ARTIFACTS

EXPERIMENTS = f"{ARTIFACTS}/experiments"
LABORATORIES = f"{ARTIFACTS}/laboratories"
LOCKS = "locks"
"""Under an experiment's folder: a file for each draw, locked while a process works on it."""
CELLS_FILE, PLAN_FILE = "cells.jsonl", "plan.json"
RESULTS_FILE, CELLS_TABLE, REPORT_FILE = "results.csv", "cells.csv", "report.html"


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """An experiment's record and its results."""

    record: EvaluationRecord
    results: ExperimentResults

    def file(self, root: Path, name: str) -> bytes | None:
        """Return one of its files in a workspace; None where it is not there any more."""
        try:
            return (root / self.record.artifact / name).read_bytes()
        except OSError:
            return None


def newest_experiment(store: Store) -> StoredExperiment | None:
    """Return the experiment that was reported on last; None where there is none.

    Raises:
        StoreError: what is stored of it cannot be read.
    """
    record = next(iter(store.evaluations.all("experiment")), None)
    if record is None:
        return None
    try:
        return StoredExperiment(record, results_from_plain(record.results))
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"the stored results of the experiment {record.label!r} cannot be read: {error}",
            remedy="run 'mars experiment' with its plan and --report-only",
        ) from error
