"""The command line: the group of all commands, its exit codes, and errors in plain words.

The commands themselves stand in commands/, by subject.
"""

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from mars_engine import __version__
from mars_engine.cli.commands.advise import advise_
from mars_engine.cli.commands.align import align
from mars_engine.cli.commands.alpaca_eval import alpaca_eval
from mars_engine.cli.commands.app import app, demo
from mars_engine.cli.commands.best_of_n import best_of_n
from mars_engine.cli.commands.data import export, import_, init, status
from mars_engine.cli.commands.experiment import experiment
from mars_engine.cli.commands.findings import findings_
from mars_engine.cli.commands.jobs import job
from mars_engine.cli.commands.judging import judge_labels_
from mars_engine.cli.commands.keeping import backup, history, trajectories
from mars_engine.cli.commands.map import map_
from mars_engine.cli.commands.propose import failures, prompts, propose
from mars_engine.cli.commands.quality import regate_
from mars_engine.cli.commands.report import report
from mars_engine.cli.commands.rewardbench import rewardbench
from mars_engine.cli.commands.rounds import close_round_, open_round_
from mars_engine.cli.commands.steps import compose, evaluate_, review, score, train
from mars_engine.cli.frame import Session
from mars_engine.cli.standard_streams import json_text, tolerate_output
from mars_engine.core.errors import ConfigError, LoadError, MarsError, NotReadyError
from mars_engine.jobs.job_ticket import JOB_VARIABLE
from mars_engine.reward_models.transformer.processes import (
    follow,
    join_processes,
    leave_processes,
    process_number,
    release_others,
)
from mars_engine.workspace.workspace import WORKSPACE_VARIABLE

EXIT_CODES = """
Exit codes: 0 done; 1 an unforeseen error; 2 wrong usage; 3 bad input or settings, nothing was stored;
4 an earlier step is missing; 5 the workspace, a model or the database cannot be used; 6 done, but what was to be
printed could not be; 130 interrupted.
"""
BAD_INPUT, NOT_READY, UNUSABLE, UNPRINTED, INTERRUPTED = 3, 4, 5, 6, 130

DISK_FAULTS = {
    errno.ENOSPC: "make room on its disk and run the same command again; what was finished is kept",
    errno.EDQUOT: "make room within your quota of its disk and run the same command again; what was finished is kept",
    errno.EROFS: "its disk may only be read; copy the workspace to one that may be written",
    errno.EACCES: "give yourself the right to read and write it",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""What a disk may refuse anywhere, and what helps."""


class MarsGroup(click.Group):
    """Prints a MarsError in plain words and exits with its code; never a traceback for bad input."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MarsError as error:
            _print_error(ctx, error)
            ctx.exit(_exit_code(error))
        except OSError as error:
            if error.errno not in DISK_FAULTS:
                raise
            found = f"{error.filename or 'a file'} cannot be used: {error.strerror}"
            _print_error(ctx, MarsError(found, remedy=DISK_FAULTS[error.errno]))
            ctx.exit(UNUSABLE)
        except KeyboardInterrupt:
            click.echo("mars: interrupted; what was finished is kept, run the same command again to go on", err=True)
            ctx.exit(INTERRUPTED)


def _print_error(ctx: click.Context, error: MarsError) -> None:
    session = ctx.find_object(Session)
    if session is not None and session.as_json:
        details = {"found": error.found, "expected": error.expected, "what_to_do": error.remedy}
        click.echo(json_text({"error": details}), err=True)
    else:
        click.echo(f"mars: {error}", err=True)


def _exit_code(error: MarsError) -> int:
    if isinstance(error, NotReadyError):
        return NOT_READY
    return BAD_INPUT if isinstance(error, (LoadError, ConfigError)) or type(error) is MarsError else UNUSABLE


@click.group(cls=MarsGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=WORKSPACE_VARIABLE,
    default=Path(),
    help=f"The workspace folder. [default: the current folder; environment variable {WORKSPACE_VARIABLE}]",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.version_option(__version__, prog_name="mars")
@click.pass_context
def mars(ctx: click.Context, workspace: Path, quiet: bool) -> None:
    """Find the preference pairs a reward model is unsure about, augment them, retrain, and see what it gained.

    The steps in their order: init, import, train (the warm-up), score, propose, review, compose, train, evaluate.
    'mars open-round' and 'mars close-round' take all steps before and after the review at once. 'mars status' says
    where you stand and what is next; 'mars demo' runs everything on the packaged demo pairs.
    """
    ctx.obj = Session(workspace, quiet)


STEPS = (init, import_, train, score, propose, review, compose, evaluate_, export)
ROUNDS = (open_round_, close_round_)
for command in (
    *STEPS,
    *ROUNDS,
    findings_,
    judge_labels_,
    advise_,
    failures,
    prompts,
    regate_,
    map_,
    rewardbench,
    experiment,
    best_of_n,
    align,
    alpaca_eval,
    report,
    job,
    history,
    trajectories,
    backup,
    status,
    demo,
    app,
):
    mars.add_command(command)


def main() -> None:
    """The console script."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if JOB_VARIABLE in os.environ:
        # A server started in the background ignores Ctrl+C, and its jobs would, and could not be cancelled gently.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    output = tolerate_output()
    join_processes()
    try:
        if process_number() == 0:
            mars(prog_name="mars")
        else:
            follow()
            leave_processes()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code:
            raise
        release_others()
        if trouble := output.trouble():
            click.echo(f"mars: all is done, but what was to be printed could not be: {trouble}", err=True)
            sys.exit(UNPRINTED)
        leave_processes()


if __name__ == "__main__":
    main()
