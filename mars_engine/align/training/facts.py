"""What is known of a policy that was trained: plain JSON beside its adapter."""

import json
from dataclasses import dataclass
from pathlib import Path

from mars_engine.core.notebook import ShownAsTable

FACTS_FILE = "policy.json"
"""Written last, so that a folder that has it is whole."""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What became of a training; plain JSON beside the adapter."""

    id: str
    method: str
    policy: str
    rewards: tuple[str, ...]
    gold: tuple[str, ...]
    steps: int
    """That were taken; fewer than were asked for where the budget of KL was spent."""
    prompts: int
    prompts_too_long: int
    watched: int
    reward_before: float
    reward_after: float
    gold_before: float | None
    gold_after: float | None
    gold_peak_step: int | None
    kl: float
    """Of an answer to a watched prompt, in nats."""
    alarms: tuple[str, ...]
    remarks: tuple[str, ...]
    merged: bool


@dataclass(frozen=True, slots=True)
class TrainedPolicy(ShownAsTable):
    """A policy that was trained, and where its adapter is."""

    folder: Path
    facts: PolicyFacts


def is_whole_policy(folder: Path) -> bool:
    return (folder / FACTS_FILE).is_file()


def read_policy(folder: Path) -> TrainedPolicy:
    """Return what is kept of a trained policy."""
    found = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
    texts = {name: tuple(found[name]) for name in ("rewards", "gold", "alarms", "remarks")}
    return TrainedPolicy(folder, PolicyFacts(**(found | texts)))
