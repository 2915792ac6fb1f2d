"""Situations that are no fault of a file: odd names, closed and full outputs, read-only and full disks, Ctrl+C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mars_engine.cli.main import BAD_INPUT, INTERRUPTED, NOT_READY, UNPRINTED, UNUSABLE, mars
from mars_engine.core.clock import utc_now
from mars_engine.core.errors import StoreError
from mars_engine.core.records import Run
from mars_engine.core.shipped import shipped
from mars_engine.store import Store, open_store, sqlite_url
from mars_engine.workspace.workspace import DATABASE_FILE, find_workspace, open_workspace_store

pytestmark = pytest.mark.slow

DEMO_TRAIN = shipped("data") / "demo-train.jsonl"
MANY = 10_000
NOT_UTF8 = os.fsdecode(b"pairs-\xff\xe9.jsonl")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mars, list(arguments), prog_name="mars")


def command(workspace: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "mars_engine.cli.main", "--workspace", str(workspace), *arguments]


def process(workspace: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    output = {"stdout": subprocess.PIPE} | options
    return subprocess.run(
        command(workspace, *arguments), stderr=subprocess.PIPE, text=True, check=False, timeout=120, **output
    )


def one_line(errors: str) -> bool:
    return "Traceback" not in errors and len(errors.strip().splitlines()) == 1


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "w"
    assert run("--workspace", str(folder), "init").exit_code == 0
    return folder


@pytest.fixture
def filled(workspace: Path) -> Path:
    assert run("--workspace", str(workspace), "import", str(DEMO_TRAIN)).exit_code == 0
    return workspace


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Enough pairs that storing them takes a while."""
    path = tmp_path_factory.mktemp("many") / "many.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(MANY):
            row = {"prompt": f"Question {number}", "chosen": f"good {number} " * 20, "rejected": f"bad {number} " * 20}
            file.write(json.dumps(row) + "\n")
    return path


# ------------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize("name", ["which one? a", "100%", "a%20b", "#1 of 2", "two  spaces ", "é ü 漢", "a&b=c;d"])
def test_a_workspace_is_where_its_name_says(tmp_path, name):
    assert run("--workspace", str(tmp_path / name), "init").exit_code == 0
    assert run("--workspace", str(tmp_path / name), "import", str(DEMO_TRAIN)).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert (tmp_path / name / DATABASE_FILE).is_file()


def test_two_workspaces_whose_names_begin_alike_share_nothing(tmp_path):
    for name in ("which one? a", "which one? b"):
        assert run("--workspace", str(tmp_path / name), "init").exit_code == 0
    assert run("--workspace", str(tmp_path / "which one? a"), "import", str(DEMO_TRAIN)).exit_code == 0
    with open_workspace_store(find_workspace(tmp_path / "which one? b")) as store:
        assert store.pairs.count("train") == 0


def test_a_file_name_that_is_not_utf8_is_blamed_by_name(tmp_path, workspace):
    shutil.copyfile(DEMO_TRAIN, tmp_path / NOT_UTF8)
    for options in ([], ["--dry-run"], ["--json"]):
        result = process(workspace, "import", *options, str(tmp_path / NOT_UTF8))
        assert result.returncode == BAD_INPUT
        assert "the file name 'pairs-" in result.stderr
        assert "not UTF-8" in result.stderr
        assert one_line(result.stderr)
    with open_workspace_store(find_workspace(workspace)) as store:
        assert not store.pairs.datasets()


@pytest.mark.parametrize("name", [NOT_UTF8, "x" * 240 + ".jsonl", "x" * 300 + ".jsonl"])
def test_an_export_to_a_name_that_cannot_be_leaves_nothing(tmp_path, filled, name):
    folder = tmp_path / "out"
    folder.mkdir()
    result = process(filled, "export", str(folder / name))
    assert result.returncode == BAD_INPUT
    assert "file name" in result.stderr
    assert one_line(result.stderr)
    assert list(folder.iterdir()) == []


def test_an_export_takes_the_longest_name_whose_manifest_fits(tmp_path, filled):
    name = "x" * (255 - len(".jsonl.manifest.json")) + ".jsonl"
    assert run("--workspace", str(filled), "export", str(tmp_path / name)).exit_code == 0
    assert (tmp_path / f"{name}.manifest.json").is_file()


@pytest.mark.parametrize(
    "arguments", [["history", "N.csv"], ["report", "N.html"], ["backup", "N.zip"], ["export", "N.parquet"]]
)
@pytest.mark.parametrize("stem", ["x" * 300, "x" * 249])
def test_long_names_are_refused_or_taken_and_never_a_traceback(tmp_path, filled, arguments, stem):
    (tmp_path / "out").mkdir()
    path = str(tmp_path / "out" / arguments[1].replace("N", stem))
    result = run("--workspace", str(filled), arguments[0], path)
    assert result.exit_code in (0, BAD_INPUT)
    assert isinstance(result.exception, SystemExit | None)
    assert len(list((tmp_path / "out").iterdir())) == (0 if result.exit_code else 1)


def test_a_workspace_with_a_name_that_is_too_long(tmp_path):
    for arguments in (["init"], ["status"]):
        result = run("--workspace", str(tmp_path / ("w" * 300)), *arguments)
        assert result.exit_code == UNUSABLE
        assert "the folder name" in result.output


# ------------------------------------------------------------------------------------------------- the output

HELPS = [[name, "--help"] for name in sorted(mars.commands)] + [["--help"], ["--version"]]
WORK = [
    ["status"],
    ["status", "--json"],
    ["job", "list"],
    ["failures"],
    ["prompts"],
    ["import", str(DEMO_TRAIN)],
    ["import", str(DEMO_TRAIN), "--json"],
    ["import", str(DEMO_TRAIN), "--dry-run"],
    ["review", "--policy", "gates"],
]

RUN_ALL = """
import json, os, sys
from mars_engine.cli.main import main

workspace, kind, commands = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
for arguments in commands:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        errors = os.open("errors", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(errors, 2)
        if kind == "closed pipe":
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, 1)
        elif kind == "both closed pipes":
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, 1)
            os.dup2(writing, 2)
        elif kind == "full":
            os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        elif kind == "closed":
            os.close(1)
            sys.stdout = None
        else:
            os.dup2(os.open("output", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        sys.argv = ["mars", "--workspace", workspace, *arguments]
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))
        except BaseException:
            os._exit(77)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    said = open("errors", errors="replace").read()
    printed = open("output", errors="replace").read() if os.path.exists("output") else ""
    print(json.dumps([arguments, os.waitstatus_to_exitcode(status), said, printed]))
"""


def run_all(
    workspace: Path, kind: str, commands: list[list[str]], *, hinder: Sequence[str] = (), **environment: str
) -> list[tuple]:
    """Run commands one after the other with such a standard output; return arguments, exit code, errors, output."""
    done = subprocess.run(
        [*hinder, sys.executable, "-c", RUN_ALL, str(workspace), kind, json.dumps(commands)],
        cwd=workspace.parent,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def expected_code(arguments: list[str]) -> int:
    """Of all these, only a review has nothing to do yet."""
    return NOT_READY if arguments[0] == "review" and "--help" not in arguments else 0


@pytest.mark.parametrize("kind", ["closed pipe", "both closed pipes", "closed"])
def test_a_closed_output_is_no_failure_of_any_command(workspace, kind):
    for arguments, code, errors, _ in run_all(workspace, kind, [*HELPS, *WORK]):
        assert code == expected_code(arguments), (arguments, errors)
        assert "Traceback" not in errors
        assert "Exception ignored" not in errors
    with open_workspace_store(find_workspace(workspace)) as store:
        assert store.pairs.count("train") == 360


def test_a_full_output_is_said_in_one_line_by_every_command(workspace):
    for arguments, code, errors, _ in run_all(workspace, "full", [*HELPS, *WORK]):
        assert code == (expected_code(arguments) or UNPRINTED), (arguments, errors)
        assert one_line(errors), (arguments, errors)
        assert code == NOT_READY or "No space left" in errors
    with open_workspace_store(find_workspace(workspace)) as store:
        assert store.pairs.count("train") == 360


def test_an_output_of_a_narrow_encoding_gets_escapes_and_json_stays_json(tmp_path, workspace):
    source = tmp_path / "é漢.jsonl"
    shutil.copyfile(DEMO_TRAIN, source)
    commands = [*HELPS, *WORK, ["import", str(source), "--split", "train"], ["import", str(source), "--json"]]
    for arguments, code, errors, printed in run_all(workspace, "file", commands, PYTHONIOENCODING="ascii"):
        assert code == expected_code(arguments), (arguments, errors)
        assert "Traceback" not in errors
        assert printed.isascii() or "--help" in arguments  # click writes UTF-8 where it is told of ASCII
        if "--json" in arguments:
            found = json.loads(printed)
            if arguments[1] == str(source):
                assert found[0]["name"] == "é漢"


def test_what_is_lost_of_progress_does_not_stop_an_import(many, workspace):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command(workspace, "import", str(many)), stdout=writing, stderr=writing, check=False)
    os.close(writing)
    assert done.returncode == 0


# -------------------------------------------------------------------------------------------------- interruptions


def test_ctrl_c_while_an_import_commits_ends_it_at_once_and_leaves_nothing(many, workspace):
    started = subprocess.Popen(command(workspace, "--quiet", "import", str(many)), stderr=subprocess.PIPE, text=True)
    journal = workspace / f"{DATABASE_FILE}-wal"
    while started.poll() is None and not (journal.exists() and journal.stat().st_size > 1_000_000):
        time.sleep(0.002)
    struck = time.monotonic()
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=60)
    assert started.returncode == INTERRUPTED, errors
    assert time.monotonic() - struck < 5
    assert "interrupted" in errors
    assert one_line(errors)
    with open_workspace_store(find_workspace(workspace)) as store:
        assert store.pairs.count("train") == 0
        assert [run.state for run in store.runs.all()] == ["cancelled"]
        assert not store.pairs.datasets()
    assert not list(workspace.glob(".staged-*"))
    assert run("--workspace", str(workspace), "import", str(many)).exit_code == 0


def test_two_imports_of_one_file_at_once_store_it_once_and_say_so(many, workspace):
    def import_it(_: int) -> dict:
        done = process(workspace, "import", "--json", str(many))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)[0]

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(import_it, range(2)))
    assert sorted(report["kept"] for report in reports) == [0, MANY]
    assert sorted(report["already_present"] for report in reports) == [0, MANY]
    with open_workspace_store(find_workspace(workspace)) as store:
        assert store.pairs.count("train") == MANY
        assert len(store.pairs.datasets()) == 1


# ------------------------------------------------------------------------------------------------------ the disk


HINDERED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""As root, chmod hinders nobody; without these rights it does."""


@pytest.fixture
def read_only(filled: Path):
    """A filled workspace that may only be read."""
    if HINDERED and subprocess.run([*HINDERED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("root's rights cannot be given up here")
    _allow(filled, folders=0o555, files=0o444)
    yield filled
    _allow(filled, folders=0o755, files=0o644)


def _allow(workspace: Path, *, folders: int, files: int) -> None:
    for path in [workspace, *workspace.rglob("*")]:
        path.chmod(folders if path.is_dir() else files)


def hindered(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [*HINDERED, *command(workspace, *arguments)]
    return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=120)


def test_a_workspace_that_may_only_be_read_can_be_read(tmp_path, read_only):
    before = sorted(path.name for path in read_only.iterdir())
    commands = [
        ["status"],
        ["export", str(tmp_path / "pairs.jsonl")],
        ["history", str(tmp_path / "history.csv")],
        ["report", str(tmp_path / "report.html")],
        ["backup", str(tmp_path / "backup.zip")],
        ["job", "list"],
        ["failures"],
        ["import", "--dry-run", str(DEMO_TRAIN)],
    ]
    for arguments, code, errors, printed in run_all(read_only, "file", commands, hinder=HINDERED):
        assert code == 0, (arguments, errors)
        assert printed
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 360
    assert sorted(path.name for path in read_only.iterdir()) == before


def test_what_would_write_in_a_read_only_workspace_is_refused_in_one_line(read_only):
    commands = [["import", str(DEMO_TRAIN)], ["job", "start", "train"], ["backup"]]
    for arguments, code, errors, _ in run_all(read_only, "file", commands, hinder=HINDERED):
        assert code == UNUSABLE, (arguments, errors)
        assert one_line(errors)
        assert "server" not in errors


def test_what_somebody_is_writing_meanwhile_is_read_too(filled):
    with open_workspace_store(find_workspace(filled)) as store:  # open, so that its journal stays beside the database
        assert store.pairs.count("train") == 360
        assert run("--workspace", str(filled), "import", str(shipped("data") / "demo-test.jsonl")).exit_code == 0
        _allow(filled, folders=0o555, files=0o444)
        done = hindered(filled, "status", "--json")
        _allow(filled, folders=0o755, files=0o644)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"][0]["count"] == 612


def test_a_full_disk_is_named_by_what_writes_the_database(tmp_path):
    store = open_store(sqlite_url(tmp_path / "full.sqlite"))
    with store.database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        driver.execute(f"PRAGMA max_page_count = {driver.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StoreError) as raised:
        _store_runs(store)
    assert "disk" in str(raised.value)
    assert "make room on the disk" in raised.value.remedy
    assert "server" not in raised.value.remedy


def _store_runs(store: Store) -> None:
    for number in range(200):
        store.runs.start(_a_run(f"run {number}"))


def _a_run(run_id: str) -> Run:
    now = utc_now()
    return Run(run_id, "import", "running", {"padding": "x" * 2000}, {}, "", 0, 0.0, now, now, None, {}, (), "")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MiB; skipped where one may not mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_named_and_never_a_server(small_disk, many):
    workspace = small_disk / "w"
    assert run("--workspace", str(workspace), "init").exit_code == 0
    done = process(workspace, "import", str(many))
    assert done.returncode == UNUSABLE
    assert "disk" in done.stderr
    assert "server" not in done.stderr
    assert one_line(done.stderr)
    with open_workspace_store(find_workspace(workspace)) as store:
        assert store.pairs.count("train") == 0
    (small_disk / "rest").write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 50_000))
    for arguments in (["import", str(DEMO_TRAIN)], ["export", str(small_disk / "p.jsonl")], ["backup"]):
        done = process(workspace, *arguments)
        assert done.returncode in (BAD_INPUT, 4, UNUSABLE)
        assert one_line(done.stderr), done.stderr
        assert "server" not in done.stderr
