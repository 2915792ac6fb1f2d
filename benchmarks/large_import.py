"""Import many rows: how long, how much memory and disk, and the same again after a SIGKILL in the middle.

    python -m benchmarks.large_import --rows 1000000 --data ../shared/data

The rows are real pairs again and again, each prompt with a running number, so that no two are equal. Each import is
`mars import` in a process of its own; its memory is the peak of what is its own (VmHWM less what is mapped of files
before the first row), above that of a process which has imported the package alone.
"""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from mars_engine.core.shipped import shipped
from mars_engine.data.loaders import open_source
from mars_engine.workspace.workspace import DATABASE_FILE

SECONDS_BETWEEN_LOOKS = 0.02
MOST_MEBIBYTES = 700
PREFERENCES = ("alpaca-pairs-train.jsonl.gz", "hh-harmless-train.jsonl.gz")
IMPORTS_ALONE = "import mars_engine.cli.main, mars_engine.data.loaders, time; print('ready', flush=True); input()"


@dataclass(frozen=True, slots=True)
class Measured:
    """An import's time in seconds and its peak memory in MiB."""

    seconds: float
    peak: float


def write_rows(path: Path, count: int, data: Path | None) -> None:
    """Write so many different rows."""
    paths = [data / name for name in PREFERENCES] if data else [shipped("data") / "demo-train.jsonl"]
    pairs = [pair for each in paths for row in open_source(str(each)).rows() for pair in row.pairs]
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            pair = pairs[number % len(pairs)]
            turns = [asdict(turn) for turn in pair.prompt]
            turns[-1]["content"] = f"{number}. {turns[-1]['content']}"
            answers = {side: [{"role": "assistant", "content": getattr(pair, side)}] for side in ("chosen", "rejected")}
            file.write(json.dumps({"prompt": turns, **answers}, ensure_ascii=False) + "\n")


def mars(workspace: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mars_engine.cli.main", "--workspace", str(workspace), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def imports_alone() -> float:
    """Return the peak memory, in MiB, of a process that has only imported what the command does."""
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORTS_ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None  # noqa: S101 (it was asked for)
    process.stdout.readline()
    peak = _peak(process.pid)
    process.communicate("\n")
    return peak


def import_whole(workspace: Path, source: Path) -> Measured:
    """Import, and watch the memory."""
    started, peak = time.monotonic(), 0.0
    process = mars(workspace, "import", str(source))
    while process.poll() is None:
        peak = max(peak, _peak(process.pid))
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if process.returncode:
        raise click.ClickException(f"the import ended with exit code {process.returncode}")
    return Measured(time.monotonic() - started, peak)


def import_killed(workspace: Path, source: Path, after: float) -> None:
    process = mars(workspace, "--quiet", "import", str(source))
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    else:
        raise click.ClickException(f"the import was through before it could be killed, after {after:.0f} s")


def _peak(process_id: int) -> float:
    try:
        status = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) / 1024


def content(workspace: Path) -> tuple[int, str]:
    """Return how many pairs a workspace has, and a hash of them all in their order."""
    digest, count = hashlib.sha256(), 0
    with closing(sqlite3.connect(workspace / DATABASE_FILE)) as connection:
        columns = "ordinal, id, dataset_id, dataset_row, split, prompt_id, prompt, chosen, rejected, subset, attributes"
        for row in connection.execute(f"SELECT {columns} FROM pairs ORDER BY ordinal"):  # noqa: S608 (constant)
            digest.update(json.dumps(row).encode())
            count += 1
    return count, digest.hexdigest()


def _disk(workspace: Path) -> float:
    return sum(path.stat().st_size for path in workspace.glob("*")) / 2**20


@click.command()
@click.option("--rows", type=click.IntRange(1), default=1_000_000, show_default=True, help="How many rows.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Folder with real pairs. [default: demo]")
@click.option(
    "--kills", type=click.FloatRange(0, 1), multiple=True, default=(0.4, 0.85), help="When to kill, in shares."
)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to work. [default: a temporary folder]")
def main(rows: int, data: Path | None, kills: tuple[float, ...], folder: Path | None) -> None:
    """Import so many rows, whole and killed in between, and say what it took."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        source = Path(name) / "rows.jsonl"
        write_rows(source, rows, data)
        click.echo(f"{rows:,} rows, {source.stat().st_size / 2**20:,.0f} MiB; load {os.getloadavg()[0]:.1f}")
        alone = imports_alone()
        whole = _fresh(Path(name) / "whole")
        measured = import_whole(whole, source)
        above = measured.peak - alone
        click.echo(f"import: {measured.seconds:,.1f} s, {rows / measured.seconds:,.0f} rows a second")
        click.echo(f"peak memory: {measured.peak:,.0f} MiB, {above:,.0f} above imports ({alone:,.0f})")
        click.echo(f"database: {_disk(whole):,.0f} MiB")
        again = import_whole(whole, source)
        click.echo(f"imported again, all there: {again.seconds:,.1f} s, {again.peak - alone:,.0f} MiB above imports")
        expected = content(whole)
        shutil.rmtree(whole)
        for share in kills:
            killed = _fresh(Path(name) / "killed")
            import_killed(killed, source, measured.seconds * share)
            found = content(killed)[0]
            left = _disk(killed)
            repeated = import_whole(killed, source)
            is_equal = content(killed) == expected
            click.echo(
                f"killed at {share:.0%}: {found:,} pairs, {left:,.0f} MiB were there; again {repeated.seconds:,.1f} s, "
                f"{repeated.peak - alone:,.0f} MiB above imports; content {'equal' if is_equal else 'DIFFERS'}"
            )
            shutil.rmtree(killed)
            if not is_equal or expected[0] != rows:
                sys.exit(1)
        sys.exit(above > MOST_MEBIBYTES)


def _fresh(workspace: Path) -> Path:
    if mars(workspace, "init").wait():
        raise click.ClickException("the workspace cannot be made")
    return workspace


if __name__ == "__main__":
    main()
