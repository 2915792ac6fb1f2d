"""Benchmarks that take minutes still run: each tells its options, and the longest begin on a few pairs."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.large_workspace import make_large_workspace

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts)
    for path in FOLDER.rglob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)

TELL_ALL = """
import importlib, runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise
"""


@pytest.mark.slow
def test_each_tells_its_options():
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TELL_ALL, *NAMES],
        cwd=FOLDER.parent, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout.lower().count("usage: ") == len(NAMES) > 15


@pytest.mark.model
def test_the_probe_of_make_bench_is_refitted(tmp_path):
    speed = importlib.import_module("benchmarks.transformer_speed")
    work = speed.prepare(FOLDER.parent / "data" / "demo-train.jsonl", tmp_path / "model", 32)
    refit = speed.make_probe_refit(work, tmp_path / "embeddings")
    assert refit().any()


@pytest.mark.browser
def test_the_apps_answers_are_timed(tmp_path):
    latency = importlib.import_module("benchmarks.app_latency")
    root = tmp_path / "workspace"
    make_large_workspace(root, pairs=1_000, proposals=200)
    timings = latency.measure(root, pairs=1_000, decisions=2, changes=2, order="plan")
    assert {name: len(values) for name, values in timings.milliseconds.items()} == {
        latency.FIRST_PAGE: 1,
        latency.FILTER: 2,
        latency.BRUSH: 2,
        latency.PAINT: 2,
        latency.SAVE: 2,
    }
    assert not timings.loads_torch
