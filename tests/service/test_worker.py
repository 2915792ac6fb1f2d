"""The resident worker: lazily started, started again when it died, gone when the server is, and never in its way."""

import io
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from fakes import BagOfWordsEncoder, ListSource, make_pairs

from mars_engine.core.config import EncoderConfig, MarsConfig
from mars_engine.core.errors import MarsError, NotReadyError, WorkerError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Passage
from mars_engine.core.review_records import ReviewEvent
from mars_engine.curate.gain_order import Chance
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.service.live_watch import LiveWatch
from mars_engine.service.worker import LOG_FILE, Answer, Request, WorkerClient, receive, send
from mars_engine.service.worker_process import RequestQueue
from mars_engine.workspace.workspace import create_workspace, open_workbench

pytestmark = pytest.mark.slow

FAKE = (sys.executable, str(Path(__file__).resolve().parents[1] / "fake_worker.py"))


@pytest.fixture
def client(tmp_path) -> Iterator[WorkerClient]:
    """A client of the fake worker."""
    client = WorkerClient(tmp_path, command=FAKE)
    yield client
    client.close()


def soon(happens, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.02)
    return False


def is_gone(process_id: int) -> bool:
    try:
        return psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# ---------------------------------------------------------------------------------------------------------- messages


def test_messages_arrive_as_they_were_sent_and_half_a_message_is_the_end():
    pipe = io.BytesIO()
    messages = [Request("embed", texts=("ä\n", "\ud800")), Answer(2, {"shape": (0, 3), "bytes": b"\0\xff"})]
    for message in messages:
        send(pipe, message)
    whole = pipe.getvalue()
    reader = io.BytesIO(whole)
    assert [receive(reader), receive(reader), receive(reader)] == [*messages, None]
    first = io.BytesIO()
    send(first, messages[0])
    for length in range(len(whole)):
        cut = io.BytesIO(whole[:length])
        arrived = list(iter(lambda: receive(cut), None))  # noqa: B023 (read before the next is cut)
        assert arrived == messages[: length >= len(first.getvalue())]


# ------------------------------------------------------------------------------------------------------------ client


def test_it_starts_with_the_first_request_and_stays(client):
    assert client.process_id is None
    first = client.embed(["one text", "another"])
    expected = BagOfWordsEncoder().encode([Passage("one text"), Passage("another")], progress=SilentProgress()).vectors
    assert np.array_equal(first, expected)
    started = client.process_id
    assert started is not None
    client.embed(["again"])
    assert client.process_id == started


def test_threads_get_each_their_own_answer(client):
    texts = [f"text number {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: client.embed([text])[0], texts))
    expected = BagOfWordsEncoder().encode([Passage(text) for text in texts], progress=SilentProgress()).vectors
    assert np.array_equal(np.array(answers), expected)


def test_figures_come_back_as_they_were_made(client):
    figures = client.live("pair")
    assert figures.curvature.effective_rank == 4.0
    assert figures.moved["ada"].before == -0.5
    assert math.isnan(figures.moved["ada"].after)
    assert math.isnan(figures.heldout_accuracy)
    assert (figures.sample, figures.gain) == ("a sample", None)


def test_a_gain_order_comes_back_as_it_was_made(client):
    order = client.gain_order()
    assert [each.decode() for each in order.ids.tolist()] == [f"{number:024}" for number in (7, 3)]
    assert order.gains.tolist() == [0.5, 0.25]
    assert (order.stamp, order.one_by_one, order.waiting, order.seconds) == ("9-1", 1, 12, 0.25)
    assert order.chances == (Chance("paraphrase", True, 3, 4, 0.75), Chance("refined", False, 0, 0, 0.5))


def test_a_watch_of_gain_orders_never_waits(client):
    watch = LiveWatch(lambda _: client.gain_order(), lambda: "9-1")
    assert watch.look("proposal").figures is None
    assert soon(lambda: watch.look("proposal").figures is not None)
    assert not watch.look("proposal").under_way


def test_a_dead_worker_is_started_again(client):
    client.embed(["a"])
    first = client.process_id
    os.kill(first, signal.SIGKILL)
    assert len(client.embed(["b"])) == 1
    assert client.process_id not in {None, first}
    assert soon(lambda: is_gone(first))


def test_a_request_survives_one_death_of_the_worker_and_not_two(client, tmp_path):
    assert len(client.embed([f"die once {tmp_path / 'mark'}"])) == 1
    with pytest.raises(WorkerError, match="twice") as caught:
        client.embed(["die"])
    assert str(tmp_path / LOG_FILE) in caught.value.remedy
    assert len(client.embed(["a"])) == 1


def test_a_request_does_not_wait_for_ever(client):
    client.embed(["a"])
    started = time.monotonic()
    with pytest.raises(WorkerError, match="within"):
        client.embed(["sleep 3"], timeout=0.2)
    assert time.monotonic() - started < 2
    assert len(client.embed(["a"])) == 1


def test_errors_come_back_as_what_they_are(client):
    with pytest.raises(NotReadyError, match="nothing is trained") as caught:
        client.live("proposal")
    assert caught.value.remedy == "train"
    with pytest.raises(WorkerError, match="ValueError: no such thing"):
        client.embed(["fail"])
    assert len(client.embed(["a"])) == 1


def test_what_libraries_print_is_no_answer(client, tmp_path):
    assert len(client.embed(["print"])) == 1
    log = (tmp_path / LOG_FILE).read_text()
    assert "a library's remark" in log
    assert "and one from C" in log


def test_embeddings_come_first_and_of_live_requests_about_one_kind_only_the_newest_counts():
    waiting = RequestQueue()
    older, newer, other = (
        Request("live", kind=kind, number=number) for number, kind in enumerate(("pair", "pair", "proposal"))
    )
    texts = [Request("embed", number=number) for number in (3, 4)]
    assert [waiting.put(each) for each in (older, other, newer, *texts)] == [None, None, older, None, None]
    assert [waiting.take() for _ in range(4)] == [*texts, other, newer]


def test_a_request_for_an_order_overtakes_the_one_before_and_no_live_request():
    waiting = RequestQueue()
    live = Request("live", number=1)
    older, newer = (Request("order", number=number) for number in (2, 3))
    assert [waiting.put(each) for each in (live, older, newer)] == [None, None, older]
    assert [waiting.take() for _ in range(2)] == [live, newer]


def test_a_live_request_that_was_overtaken_is_told_so_at_once(client, tmp_path, monkeypatch):
    client.embed(["a"])
    sent, begun, go_on = [], tmp_path / "begun", tmp_path / "go-on"

    def send_noting(pipe, message):
        send(pipe, message)
        sent.append(message.do)

    monkeypatch.setattr("mars_engine.service.worker.send", send_noting)
    with ThreadPoolExecutor(3) as pool:
        busy = pool.submit(client.embed, [f"mark {begun}", f"wait {go_on}"])
        assert soon(begun.exists)
        older = pool.submit(client.live, "pair")
        assert soon(lambda: sent == ["embed", "live"])
        newer = pool.submit(client.live, "pair")
        assert older.result(20) is None
        assert not busy.done()
        go_on.touch()
        assert newer.result(20).stamp == "1"


def test_closing_ends_the_worker_and_whoever_waits(client, tmp_path):
    client.embed(["a"])
    worker, begun = client.process_id, tmp_path / "begun"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.embed, [f"mark {begun}", "sleep 30"])
        assert soon(begun.exists)
        client.close()
        with pytest.raises(WorkerError, match="closed"):
            waiting.result(20)
    assert is_gone(worker)
    with pytest.raises(WorkerError, match="closed"):
        client.embed(["a"])


def test_a_worker_that_cannot_be_started_says_so(tmp_path):
    with pytest.raises(WorkerError, match="cannot be started"):
        WorkerClient(tmp_path, command=("/nowhere/python",)).embed(["a"])


@pytest.mark.parametrize("busy", [False, True])
def test_the_worker_goes_when_its_server_is_killed(tmp_path, busy):
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path), str(int(busy)), *FAKE], stdout=subprocess.PIPE, text=True
    )
    worker = int(server.stdout.readline())
    assert not is_gone(worker)
    server.kill()
    server.communicate()
    assert soon(lambda: is_gone(worker))


SERVER = """
import sys, threading, time
from pathlib import Path
from mars_engine.service.worker import WorkerClient
client = WorkerClient(Path(sys.argv[1]), command=sys.argv[3:])
client.embed(["a"])
if sys.argv[2] == "1":
    begun = Path(sys.argv[1]) / "begun"
    threading.Thread(target=client.embed, args=([f"mark {begun}", "sleep 60"],), daemon=True).start()
    while not begun.exists():
        time.sleep(0.01)
print(client.process_id, flush=True)
time.sleep(60)
"""


# ------------------------------------------------------------------------------------------------------------- watch


def test_a_watch_never_waits_and_asks_once_for_each_state(client):
    stamps = ["1"]
    watch = LiveWatch(client.live, lambda: stamps[0])
    assert watch.look("pair").figures is None
    assert watch.look("pair").under_way
    assert soon(lambda: not watch.look("pair").under_way)
    view = watch.look("pair")
    assert (view.figures.stamp, view.error) == ("1", None)
    assert watch.look("pair") == view
    stamps[0] = "2"
    view = watch.look("pair")
    assert (view.figures.stamp, view.under_way) == ("1", True)
    assert soon(lambda: watch.look("pair").figures.stamp == "2")


def test_a_watch_tells_what_is_wrong_and_asks_again_only_when_something_changed():
    asked = []

    def refuse(kind):
        asked.append(kind)
        raise NotReadyError("nothing is trained")

    stamps = ["1"]
    watch = LiveWatch(refuse, lambda: stamps[0])
    assert soon(lambda: watch.look("pair").error is not None)
    assert not watch.look("pair").under_way
    assert asked == ["pair"]
    stamps[0] = "2"
    assert watch.look("pair").under_way
    assert soon(lambda: asked == ["pair", "pair"])


# --------------------------------------------------------------------------------------------------- the real worker


def test_the_server_has_no_model_library():
    code = (
        "import sys, mars_engine.service.desk;"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'datasets', 'umap', 'numba', 'sklearn'};"
        "found = heavy & set(sys.modules); assert not found, found"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr


def test_a_folder_that_is_no_workspace_is_the_answer_to_every_request(tmp_path):
    client = WorkerClient(tmp_path)
    try:
        for _ in range(2):
            with pytest.raises(MarsError, match="not a workspace"):
                client.embed(["a"])
    finally:
        client.close()


@pytest.mark.model
def test_the_real_worker_embeds_refits_and_is_modest(tmp_path, packaged_encoder):
    workspace = create_workspace(tmp_path / "w")
    with open_workbench(workspace, SilentProgress()) as bench:
        for split, pairs in {"train": make_pairs(30), "heldout": make_pairs(10, first=900)}.items():
            import_pairs(ListSource(pairs), bench.store, split=split, clock=bench.clock, progress=bench.progress)
        client = WorkerClient(workspace.root)
        try:
            with pytest.raises(NotReadyError, match="no reward model"):
                client.live("pair")
            score_model(bench, train_warm_up(bench))
            before = client.live("pair")
            assert (before.base_pairs, before.heldout_pairs, before.decisions) == (30, 10, 0)
            item = bench.store.pairs.pairs("train")[0]
            bench.store.reviews.append([ReviewEvent("pair", item.id, "flip", "ada", 1, bench.clock())])
            after = client.live("pair")
            assert after.decisions == 1
            assert after.moved["ada"].after < after.moved["ada"].before
            found = client.embed(["How are you?", "  spaces\nstay  "])
            texts = [Passage("How are you?"), Passage("  spaces\nstay  ")]
            assert np.allclose(found, packaged_encoder.encode(texts, progress=SilentProgress()).vectors, atol=1e-5)
            process = psutil.Process(client.process_id)
            assert process.nice() == 10
            assert process.environ()["OMP_NUM_THREADS"] == "1"
            _use_another_encoder(workspace.root)
            shorter = client.embed(["word " * 100])
            assert not np.allclose(
                shorter, packaged_encoder.encode([Passage("word " * 100)], progress=SilentProgress()).vectors
            )
        finally:
            client.close()


def _use_another_encoder(root: Path) -> None:
    from mars_engine.core.config import config_as_toml

    config = MarsConfig(encoder=EncoderConfig(max_tokens=16))
    (root / "mars.toml").write_text(config_as_toml(config), encoding="utf-8")
