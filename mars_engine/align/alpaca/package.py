"""AlpacaEval by its own package alpaca_eval, where a person has installed it, on the outputs that we write."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from mars_engine.align.alpaca.evaluation import BASELINE_OUTPUTS, LEADERBOARD, OUTPUTS
from mars_engine.align.alpaca.figures import PolicyFigures, figures_of
from mars_engine.align.alpaca.formats import ModelOutputs, load_annotations, load_leaderboard, write_outputs
from mars_engine.align.alpaca.judging import ANNOTATIONS
from mars_engine.align.alpaca.tables import GAMED_FILE, LengthTables
from mars_engine.core.config import EvaluateConfig
from mars_engine.core.errors import GenerationError, MarsError, NotReadyError
from mars_engine.core.notebook import ShownAsTable

PACKAGE, CHECKED_VERSION = "alpaca_eval", "0.6.6"
RESULTS, VERDICTS, WEIGHTS, LOG = "results", "verdicts.json", "weights", "alpaca_eval.log"
LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class PackageReport(ShownAsTable):
    """What the package alpaca_eval found of a policy, and our figures of its annotations."""

    version: str
    annotators_config: str
    official: dict[str, float | str]
    """The policy's line of the package's leaderboard."""
    has_length_control: bool
    """Whether the package could fetch its tables; where not, the length-controlled win rate is ours alone."""
    figures: PolicyFigures
    folder: Path


def installed_version() -> str:
    """Return the version of alpaca_eval that is installed.

    Raises:
        NotReadyError: none is.
    """
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise NotReadyError(
            "the package alpaca_eval is not installed", remedy="install it: pip install 'mars-engine[alpaca]'"
        ) from error


def run_package(
    policy: ModelOutputs,
    baseline: ModelOutputs,
    *,
    annotators_config: str,
    folder: Path,
    prompts: str,
    config: EvaluateConfig,
    tables: LengthTables | None = None,
) -> PackageReport:
    """Let the package's own command judge a policy, in a process of its own; its verdicts are kept in `folder`.

    The package finds its judge as it always does: by its environment variables and the annotator's configuration. What
    it would write into its own folder, verdicts and weights, it writes into ours.

    Args:
        policy: its answers.
        baseline: its answers.
        annotators_config: the name of one of the package's annotators, or a file with one.
        folder: of the files.
        prompts: where the prompts come from.
        config: resamples, level and seed of our intervals.
        tables: for our length control.

    Raises:
        NotReadyError: the package is not installed.
        GenerationError: the command failed.
        WorkspaceError: a file cannot be written.
    """
    version = installed_version()
    write_outputs(folder / OUTPUTS, policy)
    write_outputs(folder / BASELINE_OUTPUTS, baseline)
    ended = _run(folder, annotators_config)
    has_length_control = ended == 0
    if ended and GAMED_FILE in _log(folder):
        # Its tables cannot be fetched: the verdicts are there, and are counted without them.
        ended = _run(folder, annotators_config, "--fn_metric", "get_winrate", "--sort_by", "win_rate")
    if ended:
        raise GenerationError(
            f"alpaca_eval {version} failed: {' / '.join(_log(folder).splitlines()[-LAST_LINES:])}",
            expected="a judge that answers: the variables OPENAI_API_KEY and OPENAI_API_BASE, and the annotator",
            remedy=f"all that it said is in {folder / LOG}; run the same command again, its verdicts are kept",
        )
    annotations = load_annotations(_written(folder, ANNOTATIONS))
    return PackageReport(
        version=version,
        annotators_config=annotators_config,
        official=load_leaderboard(_written(folder, LEADERBOARD))[policy.generator],
        has_length_control=has_length_control,
        figures=figures_of(annotations, prompts=prompts, tables=tables, config=config),
        folder=folder,
    )


def _run(folder: Path, annotators_config: str, *options: str) -> int:
    """Run the package's command; return its exit status."""
    own_file = Path(annotators_config)
    arguments: dict[str, Any] = {
        "--model_outputs": folder / OUTPUTS,
        "--reference_outputs": folder / BASELINE_OUTPUTS,
        "--annotators_config": own_file.resolve() if own_file.exists() else annotators_config,
        "--precomputed_leaderboard": None,
        "--output_path": folder / RESULTS,
        "--caching_path": folder / VERDICTS,
    }
    if "get_winrate" not in options:
        arguments["--metric_kwargs"] = {"save_weights_dir": str(folder / WEIGHTS)}
    said = [part for name, value in arguments.items() for part in (name, str(value))]
    command = [sys.executable, "-m", f"{PACKAGE}.main", "evaluate", *said, *options]
    with (folder / LOG).open("w", encoding="utf-8") as log:
        return subprocess.run(command, stdout=log, stderr=log, cwd=folder, env=_environment(), check=False).returncode


def _environment() -> dict[str, str]:
    """Return our environment; warnings that a person turned into errors for us are none of the package's."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}


def _log(folder: Path) -> str:
    return (folder / LOG).read_text(encoding="utf-8", errors="replace").strip()


def _written(folder: Path, name: str) -> Path:
    """Return the file that the package wrote, in a folder named after the annotator or not."""
    found = sorted((folder / RESULTS).rglob(name), key=lambda path: path.stat().st_mtime)
    if not found:
        raise MarsError(f"alpaca_eval wrote no {name} below {folder / RESULTS}", remedy=f"see {folder / LOG}")
    return found[-1]
