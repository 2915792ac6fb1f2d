"""The model card that goes with a probe: what it was trained on, what it reads and why, and how to load it."""

from mars_engine.core.records import ModelEvidence, ModelRecord
from mars_engine.reward_models.choice_summary import (
    COLUMNS,
    HOW_COMPARED,
    HOW_TO_FIX,
    NUMBERS,
    ChoiceSummary,
    row_of,
    say_choice,
    summary_of,
)
from mars_engine.reward_models.transformer.card import LIMITS, RANKS_AS_ITS_PAIRS, evidence_section


def render_probe_card(record: ModelRecord, evidence: ModelEvidence) -> str:
    """Return the README of a probe's folder.

    Args:
        record: as it is stored, with its metrics.
        evidence: the pairs behind it, and its figures on those held out.
    """
    summary = summary_of(record)
    count = record.metrics["training_pairs"]
    lines = [
        f"# Reward model {record.id}",
        "",
        f"A probe, {record.label}: a linear Bradley-Terry head on frozen hidden states, fitted on {count:,} preference "
        f"pair{'' if count == 1 else 's'}, of which it ranks {record.metrics['training_accuracy']:.1%} the right way "
        "round. The higher its reward, the better.",
        "",
        "## What it reads",
        "",
        *(_reading(summary) if summary else ["Its record does not say."]),
        "",
        "## Use",
        "",
        "```python",
        "from pathlib import Path",
        "",
        "from mars_engine.core.progress import SilentProgress",
        "from mars_engine.workspace.workspace import find_workspace, open_workbench",
        "",
        'workspace = find_workspace(Path("."))  # the folder with mars.toml',
        "with open_workbench(workspace, SilentProgress()) as bench:",
        f'    model = bench.shelf.load(bench.store.models.get("{record.id}"))',
        '    pairs = bench.store.pairs.pairs("train")',
        "    rewards = model.score(pairs, progress=bench.progress)",
        "```",
        "",
        "The encoder must be the one that `probe.json` names. `probe.safetensors` holds `weights` w "
        "and `scale` s, d numbers each; the reward of a text with the states h, its layers side by side, is the sum of "
        "w · h / (s √d).",
        "",
        evidence_section(evidence) + LIMITS,
        "",
        RANKS_AS_ITS_PAIRS,
        "",
    ]
    return "\n".join(lines)


def _reading(summary: ChoiceSummary) -> list[str]:
    lines = [f"It {say_choice(summary)}."]
    if summary.alternatives:
        lines += [
            "",
            f"| {' | '.join(COLUMNS)} |",
            f"|{'|'.join('---:' if column in NUMBERS else '---' for column in COLUMNS)}|",
            *[f"| {' | '.join(row_of(each))} |" for each in summary.alternatives],
            "",
            HOW_COMPARED,
        ]
    return [*lines, "", HOW_TO_FIX]
