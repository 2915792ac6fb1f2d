"""AlpacaEval in a script or a notebook: policies judged against a baseline, and figures of annotations."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mars_engine.align.alpaca.evaluation import AlpacaReport, read_annotations
from mars_engine.align.alpaca.figures import PolicyFigures
from mars_engine.api.remedies import said_in_python
from mars_engine.api.workspace import Workspace
from mars_engine.core.config import EvaluateConfig
from mars_engine.jobs import headlines
from mars_engine.workspace.alpaca_eval import ASK_A_CHAT_MODEL, CHAT, AlpacaRequest, run_alpaca_eval

FilePath = str | os.PathLike[str]


def alpaca_eval(
    workspace: Workspace,
    outputs: FilePath | Sequence[FilePath] | Mapping[str, FilePath],
    *,
    reference: FilePath,
    judge: str = CHAT,
    tables: FilePath | None = None,
    matrix: bool = False,
    ask_again: bool = False,
    download: bool = False,
) -> AlpacaReport:
    """Judge policies' outputs against a baseline's, as `mars alpaca-eval` does; it is recorded as a run.

    Args:
        workspace: has the settings, the models, and the verdicts so far.
        outputs: a file in AlpacaEval's format, several, or several by the policy's name.
        reference: the baseline's outputs.
        judge: "chat", or a reward model's id or label, folder or hub id.
        tables: a folder with AlpacaEval's tables, where the prompts are AlpacaEval's.
        matrix: judge every two policies against each other too.
        ask_again: ask a chat model anew where its answer could not be read.
        download: download a reward model that is not on this machine.

    Raises:
        LoadError: a file cannot be read, or shares no prompt with the baseline.
        ConfigError: there is no output, or no chat model is named.
        ModelError: the reward model cannot be loaded.
        GenerationError: the judge model cannot be asked at all.
    """
    named = dict(outputs) if isinstance(outputs, Mapping) else {}
    files = [outputs] if isinstance(outputs, str | os.PathLike) else list(named.values() if named else outputs)
    request = AlpacaRequest(
        outputs=tuple(Path(file) for file in files),
        reference=Path(reference),
        names=tuple(named),
        judge=judge,
        tables=Path(tables) if tables is not None else None,
        matrix=matrix,
        ask_again=ask_again,
        download=download,
    )
    with said_in_python(), workspace._working("alpaca-eval", ASK_A_CHAT_MODEL) as (bench, notes):
        report = run_alpaca_eval(bench, workspace.path, request)
        notes.summary |= headlines.of_alpaca([each.figures for each in report.policies])
    return report


def alpaca_figures(annotations: FilePath, *, tables: FilePath | None = None) -> PolicyFigures:
    """Return the figures of annotations in AlpacaEval's format: win rates, length control, counts, the judge's bias.

    Args:
        annotations: a judge's annotations of one policy over one baseline.
        tables: a folder with AlpacaEval's tables, where the prompts are AlpacaEval's.

    Raises:
        LoadError: a file cannot be read, or the tables are of other prompts.
    """
    with said_in_python():
        folder = Path(tables) if tables is not None else None
        return read_annotations(Path(annotations), tables=folder, config=EvaluateConfig())
