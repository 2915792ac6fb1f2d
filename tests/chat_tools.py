"""Chat generators on a store and a server of a test's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fakes import ListSource, TickingClock, make_bench, make_pairs

from mars_engine.augment.plan import make_plan
from mars_engine.augment.workbench import Workbench
from mars_engine.core.chat_records import KeptAnswer
from mars_engine.core.config import ChatConfig, MarsConfig, ProposeConfig, QualityConfig, TriageConfig
from mars_engine.core.records import Plan, Turn, content_id
from mars_engine.data.import_pairs import import_pairs
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.workspace.generators import open_generators

NOWHERE = Path("/nonexistent")
QUICK = ChatConfig(model="tiny", first_wait_seconds=0.01, timeout_seconds=20.0, concurrency=8)
KEEP = TriageConfig(policy="keep", seeds=2, folds=3)


def chat_config(base_url: str, *, chat: ChatConfig = QUICK, judge: bool = False, **propose: object) -> MarsConfig:
    """Settings under which a chat model writes."""
    return MarsConfig(
        triage=KEEP,
        propose=ProposeConfig.model_validate({"paraphraser": "chat", "refiner": "chat", "variants": 3, **propose}),
        chat=chat.model_copy(update={"base_url": base_url}),
        quality=QualityConfig(judge_by="chat" if judge else "none"),
    )


@contextmanager
def chat_bench(
    config: MarsConfig, *, pairs: int = 0, url: str = "sqlite://", root: Path = NOWHERE
) -> Iterator[Workbench]:
    """A workbench on fakes whose generators are the configured ones, as opening a workspace makes them."""
    bench = make_bench(config, url=url)
    clock = TickingClock()
    with open_generators(
        root, config, bench.encoder, bench.store.chat, progress=bench.progress, clock=clock
    ) as generators:
        bench = replace(bench, paraphraser=generators.paraphraser, refiner=generators.refiner, judge=generators.judge)
        if pairs:
            source = ListSource(make_pairs(pairs))
            import_pairs(source, bench.store, split="train", clock=bench.clock, progress=bench.progress)
        yield bench
    bench.store.close()


def an_answer(**changes: Any) -> KeptAnswer:
    """A kept answer; its request's id comes from the pair that it is about."""
    kept = KeptAnswer(
        request_id=content_id("request", str(changes.get("source_id", ""))),
        asking=0,
        source_id="",
        purpose="paraphrase",
        model="tiny",
        server="http://127.0.0.1:1",
        template="paraphrase 1 abc",
        prompt_hash="p",
        messages=(Turn("system", "do"), Turn("user", "tëxt\n")),
        parameters={"seed": 0, "temperature": 0.8},
        answer='{"rewrites": ["ä"]}',
        finish_reason="stop",
        failure="",
        retryable=False,
        input_tokens=7,
        output_tokens=5,
        cost=0.25,
        seconds=0.125,
        attempts=1,
        asked_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return replace(kept, **changes)


def planned(bench: Workbench) -> Plan:
    """Warm up, score, and plan."""
    model = train_warm_up(bench)
    score_model(bench, model)
    return make_plan(bench, model).plan
