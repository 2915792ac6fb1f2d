"""What an experiment consists of: cells, each one method on one draw of the data, trained in one way."""

from dataclasses import dataclass
from itertools import product
from typing import Protocol

from mars_engine.experiments.plan import ExperimentPlan, Matching, Method


@dataclass(frozen=True, slots=True, order=True)
class CellKey:
    """Which cell of the experiment."""

    dataset: str
    seed: int
    method: Method
    matching: Matching
    flipped: float = 0.0
    """Share of the base pairs whose labels are flipped."""


@dataclass(frozen=True, slots=True)
class ExperimentCell:
    """What one method reached on one draw of the data, and what it cost."""

    key: CellKey
    accuracy: float
    log_loss: float
    """Mean Bradley–Terry loss on the held-out pairs, in nats."""
    steps: int
    """Optimizer steps; 0 for the exact fit."""
    pairs_seen: int
    """Pairs in all the batches; the training pairs once for the exact fit."""
    training_pairs: int
    new_pairs: int
    """Training pairs beside the base pairs: composed, pseudo-labelled or views."""
    wrong_labels: int
    """Of pseudo-labelled pairs, those whose hidden label says otherwise; 0 for the other methods."""
    generation_tokens: int
    """In the texts that were proposed for the pairs that the method spends its budget on."""
    training_tokens: int
    """In the responses of the pairs seen, as a model that reads texts would read them."""
    preparation_seconds: float
    """Until the training set was there: warm-up, proposals and features. Shared work counts for all who use it."""
    training_seconds: float
    wrong_weight: float
    """Share of the training pairs' weight that pairs with labels known to be wrong have, new pairs made of them too."""
    wrong_loss: float
    """Share of the training loss that they have, under the finished model."""
    prompts: tuple[int, ...]
    """A number for the prompt of each held-out pair, the same in all cells of the dataset."""
    correct: tuple[float, ...]
    """1, 0.5 or 0 for each held-out pair: ranked right, a tie, ranked wrong."""


class CellStore(Protocol):
    """Keeps the finished cells of an experiment."""

    def load(self) -> list[ExperimentCell]:
        """All cells that are there whole, in the order they were finished."""
        ...

    def append(self, cell: ExperimentCell) -> None:
        """Keep a finished cell; when this returns, a kill does not lose it."""
        ...


def wanted_cells(plan: ExperimentPlan) -> list[CellKey]:
    """Return the cells of a plan, in the order they are computed."""
    return [
        CellKey(dataset.name, seed, method, matching, flipped)
        for dataset, flipped, seed, method, matching in product(
            plan.datasets, plan.flipped, plan.seeds, plan.methods, plan.matchings
        )
    ]


def say_data(dataset: str, flipped: float) -> str:
    """Say which data a cell is on, flipped labels included."""
    return f"{dataset}, {flipped:.0%} of the labels flipped" if flipped else dataset
