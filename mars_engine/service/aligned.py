"""What the Align page shows of policies: those that were trained, the one at work, best-of-n, and sheets to compare."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mars_engine.align.blind.comparing import AnswerSheet
from mars_engine.align.blind.sheets import load_sheet
from mars_engine.align.prompts import heldout_prompts, leave_out_trained, load_prompts, trained_prompts
from mars_engine.align.training.facts import PolicyFacts, is_whole_policy, read_policy
from mars_engine.align.training.guards import Look
from mars_engine.align.training.looks import LOOKS_FILE, NEWEST_SHEET, REFERENCE_SHEET, load_looks
from mars_engine.core.errors import LoadError, NotReadyError
from mars_engine.core.records import ModelRecord, Prompt, Run
from mars_engine.embeddings.packaged_lm import PACKAGED_LM, is_packaged_lm_installed
from mars_engine.jobs.run_history import run_seconds
from mars_engine.store import Store
from mars_engine.workspace.aligning import POLICIES_FOLDER
from mars_engine.workspace.best_of_n import PICKS, RESULTS_FILE, RESULTS_FOLDER
from mars_engine.workspace.workspace import ARTIFACTS, CHECKPOINTS, Workspace

GUESSED_TOKENS_A_SECOND = 60.0
"""Of the packaged language model on two cores, sampling and learning together; only until a run has told."""


@dataclass(frozen=True, slots=True)
class WatchedPolicy:
    """A policy, trained or in training, as the Align page lists it, with its looks; no `facts` before it is done."""

    folder: Path
    facts: PolicyFacts | None
    looks: tuple[Look, ...]
    prompts: tuple[Prompt, ...]
    """The watched ones; none where they were not kept."""


@dataclass(frozen=True, slots=True)
class SheetFile:
    """A file of one policy's answers that can be compared, and where it comes from, in words."""

    path: Path
    name: str
    source: str
    prompts: int


@dataclass(frozen=True, slots=True)
class PromptsAtHand:
    """How many prompts there are for some reward models, and how many were left out as trained on."""

    prompts: int
    trained_on: int


def policies_at_hand() -> tuple[str, ...]:
    """Return the policies that the app offers without a download and without a folder of one's own."""
    return (PACKAGED_LM,) if is_packaged_lm_installed() else ()


def trained_policies(workspace: Workspace) -> list[WatchedPolicy]:
    """Return the workspace's trained policies, the newest first."""
    folders = [each for each in _newest_first(workspace.root / POLICIES_FOLDER) if is_whole_policy(each)]
    return [_watched(folder, read_policy(folder).facts) for folder in folders]


def policy_at_work(workspace: Workspace) -> WatchedPolicy | None:
    """Return the newest policy whose training is under way or was interrupted; None where there is none."""
    folders = [
        each
        for each in _newest_first(workspace.root / ARTIFACTS / CHECKPOINTS)
        if each.name.startswith("policy-") and (each / LOOKS_FILE).is_file()
    ]
    return _watched(folders[0], None) if folders else None


def best_of_n_results(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the reports of best-of-n that the app shows, as they were written, the newest first."""
    folders = _newest_first(workspace.root / RESULTS_FOLDER)
    files = [each / RESULTS_FILE for each in folders if (each / RESULTS_FILE).is_file()]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def sheets_at_hand(workspace: Workspace) -> list[SheetFile]:
    """Return the answers that training and best-of-n left to be compared, the newest first."""
    found: list[SheetFile] = []
    for folder in _newest_first(workspace.root / POLICIES_FOLDER):
        if is_whole_policy(folder):
            source = f"watched prompts of the policy {folder.name[:6]}"
            found += _sheets([folder / NEWEST_SHEET, folder / REFERENCE_SHEET], source)
    for folder in _newest_first(workspace.root / RESULTS_FOLDER):
        found += _sheets(sorted((folder / PICKS).glob("*.json")), f"best-of-n {folder.name[:6]}")
    return found


def prompts_at_hand(store: Store, models: Sequence[ModelRecord], *, file: str = "") -> PromptsAtHand:
    """Count for the app the prompts that a policy would be asked.

    Raises:
        LoadError: the file cannot be read, or has no prompt.
    """
    try:
        prompts = load_prompts(file) if file else heldout_prompts(store)
    except NotReadyError:
        return PromptsAtHand(0, 0)
    try:
        left = leave_out_trained(prompts, trained_prompts(store, models))
    except NotReadyError:
        return PromptsAtHand(0, len(prompts.prompts))
    return PromptsAtHand(len(left.prompts), len(prompts.prompts) - len(left.prompts))


def tokens_a_second(runs: Sequence[Run], policy: str) -> tuple[float, bool]:
    """Return how many tokens a second the app expects of training a policy, and whether that was measured.

    Tokens are counted at their most, completions × max_new_tokens, as an estimate counts them.
    """
    for run in runs:
        settings = run.settings.get("align", {}) if isinstance(run.settings, dict) else {}
        is_like_it = run.kind == "align" and run.state == "finished" and settings.get("policy") == policy
        if is_like_it and (seconds := run_seconds(run, run.ended_at)) > 0:
            made = settings["steps"] * settings["prompts_per_step"] * settings["completions"]
            return made * settings["max_new_tokens"] / seconds, True
    return GUESSED_TOKENS_A_SECOND, False


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((each for each in folder.iterdir() if each.is_dir()), key=lambda each: -each.stat().st_mtime)


def _watched(folder: Path, facts: PolicyFacts | None) -> WatchedPolicy:
    sheet = _readable(folder / REFERENCE_SHEET)
    return WatchedPolicy(folder, facts, tuple(load_looks(folder)), tuple(sheet.answers) if sheet else ())


def _sheets(paths: Sequence[Path], source: str) -> list[SheetFile]:
    read = [(path, _readable(path)) for path in paths]
    return [SheetFile(path, sheet.name, source, len(sheet.answers)) for path, sheet in read if sheet is not None]


def _readable(path: Path) -> AnswerSheet | None:
    try:
        return load_sheet(path) if path.is_file() else None
    except LoadError:  # somebody has changed the file: it is not offered
        return None
