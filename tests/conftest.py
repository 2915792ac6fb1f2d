"""Fixtures that several folders share."""

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock
from hypothesis import settings
from kept_migrations import kept_migrations

from mars_engine.core.config import EncoderConfig
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.packaged_lm import find_packaged_lm, is_packaged_lm_installed
from mars_engine.embeddings.sentence_encoder import SentenceEncoder

# A busy machine is no failure. A person's runs draw other examples each time, and fewer; .ci/run answers the same for
# a commit.
SAME_EXAMPLES = "MARS_SAME_EXAMPLES" in os.environ
settings.register_profile("mars", deadline=None, derandomize=SAME_EXAMPLES, max_examples=100 if SAME_EXAMPLES else 30)
settings.load_profile("mars")

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = ROOT / ".." / "shared" / "data"


SECONDS_TO_SEE_IT_STOPPED = 60
LONGEST = (
    "cli/test_demo.py",
    "pages/review/test_card_browser.py",
    "realdata/test_real_pairs.py",
    "cli/test_killed.py",
    "pages/test_walkthrough_browser.py",
    "service/test_wheel.py",
    "cli/test_situations.py",
    "pages/explore/test_explore_browser.py",
    "jobs/test_jobs.py",
    "pages/review/test_queue_browser.py",
    "pages/test_accessibility.py",
    "cli/commands/test_chat_commands.py",
)
"""Files whose tests take longest, longest first; the demo before those that start from what it leaves."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process is left with one at the end."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Wait for the threads that see to a cancelled job, before the folder of its workspace is taken away."""
    for thread in threading.enumerate():
        if thread.name.startswith("cancelling "):
            thread.join(SECONDS_TO_SEE_IT_STOPPED)


@pytest.fixture(scope="module", autouse=True)
def few_objects_to_look_through() -> None:
    """Leave what is there for good to itself: each training asks for a full collection, seconds with a grown heap."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def quick_new_databases() -> Iterator[None]:
    with kept_migrations():
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real preference pairs beside the checkout."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"there is no real data in {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def packaged_encoder() -> CachedEncoder:
    """The packaged encoder; its embeddings of the real data are kept in .cache, so that a second run is quick."""
    return CachedEncoder(SentenceEncoder(EncoderConfig()), ROOT / ".cache" / "test-embeddings")


@pytest.fixture(scope="session")
def packaged_lm_folder() -> Path:
    """The packaged language model, converted at its first use on this machine; skips where it is not installed."""
    if not is_packaged_lm_installed():
        pytest.skip("the packaged language model is not installed")
    return find_packaged_lm()


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `workspace`, which the demo has left, and its `report.json`: made once for all processes.

    No test changes the workspace; one that would takes a copy.
    """
    from mars_engine.cli.main import mars

    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "finished-demo"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "report.json").exists():
            arguments = ["--workspace", str(folder / "workspace"), "demo", "--no-serve", "--json"]
            result = CliRunner().invoke(mars, arguments)
            assert result.exit_code == 0, result.output
            (folder / "report.json").write_text(result.stdout)
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch work in one thread: tiny models wait longer for a second one than they work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def quiet_environment() -> dict[str, str]:
    """The environment for a `mars` process of a test's own: no workspace by default, nothing fetched from a hub."""
    environment = {name: value for name, value in os.environ.items() if name != "MARS_WORKSPACE"}
    return environment | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
