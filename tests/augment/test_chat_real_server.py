"""A real OpenAI-compatible server, `transformers serve` with a tiny random model, through the real openai client."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chat_tools import QUICK, chat_bench, chat_config, planned
from tiny_causal import save_tiny_causal

from mars_engine.augment.propose import make_proposals

pytestmark = pytest.mark.model
SECONDS_TO_START = 120
SERVE = "from transformers.cli.transformers import main; main()"


@dataclass(frozen=True)
class RealServer:
    base_url: str
    model: str
    log: Path

    @property
    def requests(self) -> int:
        """How many chat completions it has answered, by its own log."""
        return self.log.read_text(encoding="utf-8", errors="replace").count('"POST /v1/chat/completions HTTP/1.1" 200')


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RealServer]:
    pytest.importorskip("fastapi")
    folder = tmp_path_factory.mktemp("served")
    model = save_tiny_causal(folder / "model", ends_soon=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    command = [sys.executable, "-c", SERVE, "serve", str(model), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--device", "cpu"],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
    try:
        _wait_until_healthy(process, port, log)
        yield RealServer(f"http://127.0.0.1:{port}/v1", str(model), log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(errors="replace")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace"))


def test_it_writes_refines_and_judges_and_is_asked_everything_once(server):
    chat = QUICK.model_copy(
        update={"model": server.model, "candidates": 1, "max_tokens": 48, "timeout_seconds": 120.0, "concurrency": 2}
    )
    config = chat_config(server.base_url, chat=chat, judge=True, variants=1, refine_tries=1)
    with chat_bench(config, pairs=8) as bench:
        plan = planned(bench)
        report = make_proposals(bench, plan)
        kept = bench.store.chat.all()
        assert server.requests == len(kept) == sum(each.attempts for each in kept) >= 8 * 3
        assert all(each.answer is not None for each in kept)
        assert {"paraphrase", "refine rejected"} <= {each.purpose for each in kept}
        assert all(each.input_tokens > 100 and 0 < each.output_tokens <= 48 for each in kept), "the server counts them"
        assert {each.finish_reason for each in kept} <= {"stop", "length"}
        assert report.proposals > 0, "short noise is a rewrite as good as any"
        texts = {text for each in bench.store.proposals.proposals() for text in (each.chosen, each.rejected)}
        assert texts & {(each.answer or "").strip() for each in kept}
        answered = server.requests
        make_proposals(bench, plan, retry="retryable")
        assert make_proposals(bench, plan).done_before == report.sources
        assert server.requests == answered, "nothing is asked twice"
