"""AlpacaEval in a workspace: which outputs, who judges, which tables, and where the files go."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mars_engine.align.alpaca.evaluation import FOLDER, AlpacaReport, evaluate_policies
from mars_engine.align.alpaca.formats import ModelOutputs, load_outputs
from mars_engine.align.alpaca.judges import BothOrders, PairwiseJudge, RewardJudge
from mars_engine.align.alpaca.package import PackageReport, run_package
from mars_engine.align.alpaca.tables import load_tables
from mars_engine.augment.workbench import Workbench
from mars_engine.core.errors import ConfigError
from mars_engine.core.records import Turn, content_id, prompt_id
from mars_engine.workspace.named_models import NamedModel, open_named_model
from mars_engine.workspace.workspace import ARTIFACTS

CHAT = "chat"
ASK_A_CHAT_MODEL: dict[str, dict[str, Any]] = {"quality": {"judge_by": CHAT}}
"""Settings under which a workbench has a chat model as judge."""


@dataclass(frozen=True, slots=True)
class AlpacaRequest:
    """What is asked for."""

    outputs: tuple[Path, ...]
    """Files of outputs, one of each policy."""
    reference: Path
    """The baseline's outputs."""
    names: tuple[str, ...] = ()
    """Of the policies, in the order of the files; empty: as the files' `generator` says."""
    judge: str = CHAT
    """'chat', or a reward model: its id or label, another workspace, a folder or a hub id."""
    tables: Path | None = None
    """A folder with AlpacaEval's tables of these very prompts."""
    matrix: bool = False
    ask_again: bool = False
    """Whether a chat model's answers that could not be read are asked for anew."""
    download: bool = False


def run_alpaca_eval(bench: Workbench, root: Path, request: AlpacaRequest) -> AlpacaReport:
    """Judge policies' outputs against a baseline's; keep verdicts, figures and AlpacaEval's files.

    Raises:
        ConfigError: there is no output, there are other numbers of names, or no chat model is named.
        LoadError: a file cannot be read, or shares no prompt with the baseline.
        ModelError: the reward model cannot be loaded.
        GenerationError: the judge model cannot be asked at all.
        WorkspaceError: a file cannot be written.
    """
    policies, baseline = _load(request)
    tables = load_tables(request.tables) if request.tables else None
    with _judge(bench, request) as (judge, named):
        report = evaluate_policies(
            policies,
            baseline,
            judge,
            prompts=_prompts_of(baseline, request),
            root=root,
            artifacts=ARTIFACTS,
            store=bench.store,
            clock=bench.clock,
            config=bench.config.evaluate,
            tables=tables,
            matrix=request.matrix,
        )
    return replace(report, remarks=_said_of_training(named, baseline))


def run_alpaca_package(bench: Workbench, root: Path, request: AlpacaRequest, annotators_config: str) -> PackageReport:
    """Let the package alpaca_eval judge one policy's outputs.

    Raises:
        ConfigError: there is not one policy.
        NotReadyError: the package is not installed.
        GenerationError: its command failed.
        LoadError, WorkspaceError: as `run_alpaca_eval`.
    """
    policies, baseline = _load(request)
    if len(policies) != 1:
        raise ConfigError(f"{len(policies)} policies are named", expected="one: the package judges one at a time")
    answers = [[row.instruction, row.output] for model in (baseline, policies[0]) for row in model.rows]
    key = content_id("alpaca_eval package", annotators_config, policies[0].generator, answers)[:12]
    return run_package(
        policies[0],
        baseline,
        annotators_config=annotators_config,
        folder=(root / ARTIFACTS / FOLDER / f"package-{key}").resolve(),
        prompts=_prompts_of(baseline, request),
        config=bench.config.evaluate,
        tables=load_tables(request.tables) if request.tables else None,
    )


def _load(request: AlpacaRequest) -> tuple[list[ModelOutputs], ModelOutputs]:
    if not request.outputs:
        raise ConfigError("no outputs are named", expected="a file of outputs of each policy")
    if request.names and len(request.names) != len(request.outputs):
        raise ConfigError(
            f"{len(request.names)} names are given for {len(request.outputs)} files",
            expected="a name for each file, in their order, or none",
        )
    names: Sequence[str] = request.names or [""] * len(request.outputs)
    policies = [load_outputs(path, name=name) for path, name in zip(request.outputs, names, strict=True)]
    return policies, load_outputs(request.reference)


def _prompts_of(baseline: ModelOutputs, request: AlpacaRequest) -> str:
    return f"{len(baseline.rows):,} prompts of {request.reference.name}"


# ---------------------------------------------------------------------------------------------------------- who judges


@contextmanager
def _judge(bench: Workbench, request: AlpacaRequest) -> Iterator[tuple[PairwiseJudge, NamedModel | None]]:
    """Open the judge, and the reward model that it is, if it is one."""
    if request.judge != CHAT:
        with open_named_model(bench, request.judge, role="judge", download=request.download) as named:
            yield RewardJudge(named.model, named.label, bench.progress), named
        return
    if bench.judge is None:
        raise ConfigError("no chat model may judge", remedy="set judge_by under [quality] in mars.toml to 'chat'")
    name = bench.config.chat.judge_model or bench.config.chat.model
    yield BothOrders(bench.judge, name, request.ask_again), None


def _said_of_training(judge: NamedModel | None, baseline: ModelOutputs) -> tuple[str, ...]:
    if judge is None or judge.trained_on is None:
        return ()
    shared = sum(prompt_id((Turn("user", row.instruction),)) in judge.trained_on for row in baseline.rows)
    if not shared:
        return ()
    return (f"The judge {judge.label} was trained on {shared:,} of the {len(baseline.rows):,} prompts.",)
