"""How much of the allowed concurrency the chat generator uses, against a local server that takes 200 ms an answer.

    python -m benchmarks.augment.chat_throughput [--pairs 200] [--latency-ms 200] [--concurrency 8]

Two figures: paraphrasing alone, and `propose` on fakes, whose embedding and judging stand between the requests. The
ideal is what the concurrency permits: answers × latency / concurrency. Beside it stands how much of the allowed
concurrency was in use, by the times that the client measured, which a busy machine blurs less. The server is a process
of its own.
"""

import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click

from mars_engine.augment.generators.protocols import ParaphraseRequest
from mars_engine.augment.propose import make_proposals
from mars_engine.core.config import ChatConfig

STAND_INS = Path(__file__).resolve().parents[2] / "tests" / "stand_ins"


@dataclass(frozen=True)
class Throughput:
    """How long answers took, beside the least time that the concurrency permits."""

    what: str
    answers: int
    seconds: float
    ideal_seconds: float
    """With the nominal latency."""
    busy_seconds: float
    """Sum of the times from request to answer, as the client saw them, over the concurrency."""

    def __str__(self) -> str:
        share = self.ideal_seconds / self.seconds
        rate = self.answers / self.seconds
        return (
            f"{self.what}: {self.answers:,} answers in {self.seconds:.2f} s ({rate:.1f} a second), "
            f"{share:.1%} of what the concurrency permits; {self.busy_seconds / self.seconds:.1%} of it in use"
        )


def _serve(latency: float, pipe: Connection) -> None:
    sys.path.insert(0, str(STAND_INS))
    from scripted_chat import serving

    with serving(latency_seconds=latency) as server:
        pipe.send(server.base_url)
        pipe.recv()


@contextmanager
def local_server(latency: float) -> Iterator[str]:
    """Serve rewrites that take so long each, in another process; yield the address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(latency, theirs), daemon=True)
    process.start()
    try:
        yield str(ours.recv())
    finally:
        ours.send("end")
        process.join()


def measure_paraphrasing(base_url: str, *, requests: int, latency: float, concurrency: int) -> Throughput:
    """Paraphrase so many different texts at once."""
    import chat_tools

    with chat_tools.chat_bench(chat_tools.chat_config(base_url, chat=_chat(concurrency))) as bench:
        bench.paraphraser.paraphrase([ParaphraseRequest("warm up", "warm up", 1, 0)])  # imports, the first connections
        texts = [f"text number {number} to paraphrase" for number in range(requests)]
        began = time.perf_counter()
        bench.paraphraser.paraphrase([ParaphraseRequest(text, text, 3, 0) for text in texts])
        seconds = time.perf_counter() - began
        busy = sum(each.seconds for each in bench.store.chat.all()[1:]) / concurrency
    return Throughput("paraphrasing", requests, seconds, requests * latency / concurrency, busy)


def measure_proposing(base_url: str, *, pairs: int, latency: float, concurrency: int) -> Throughput:
    """Propose for so many pairs, with a fake encoder and an in-memory database."""
    import chat_tools

    config = chat_tools.chat_config(base_url, chat=_chat(concurrency))
    with chat_tools.chat_bench(config, pairs=pairs) as bench:
        plan = chat_tools.planned(bench)
        bench.paraphraser.paraphrase([ParaphraseRequest("warm up", "warm up", 1, 0)])
        before = bench.store.chat.spent().requests
        began = time.perf_counter()
        make_proposals(bench, plan)
        seconds = time.perf_counter() - began
        answers = bench.store.chat.spent().requests - before
        busy = sum(each.seconds for each in bench.store.chat.all()[before:]) / concurrency
    return Throughput("proposing", answers, seconds, answers * latency / concurrency, busy)


def _chat(concurrency: int) -> ChatConfig:
    return ChatConfig(model="local", concurrency=concurrency)


@click.command()
@click.option("--pairs", default=200, show_default=True)
@click.option("--latency-ms", default=200.0, show_default=True)
@click.option("--concurrency", "levels", multiple=True, type=int, default=(4, 8, 16, 32), show_default=True)
def main(pairs: int, latency_ms: float, levels: tuple[int, ...]) -> None:
    """Measure at each level of concurrency."""
    sys.path.insert(0, str(STAND_INS))
    latency = latency_ms / 1000
    for concurrency in levels:
        given: dict[str, Any] = {"latency": latency, "concurrency": concurrency}
        with local_server(latency) as base_url:
            click.echo(f"concurrency {concurrency:3}  {measure_paraphrasing(base_url, requests=3 * pairs, **given)}")
            click.echo(f"                 {measure_proposing(base_url, pairs=pairs, **given)}")


if __name__ == "__main__":
    main()
