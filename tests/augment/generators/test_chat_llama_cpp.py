"""GGUF models that llama.cpp runs here: the packaged language model behind a server of its own, asked as any server."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from chat_tools import QUICK, chat_bench, chat_config, planned

from mars_engine.augment.generators.chat.backend import Order
from mars_engine.augment.generators.chat.llama_cpp import LlamaCppModels, find_gguf, gguf_fingerprint
from mars_engine.augment.generators.chat.server import ChatServer
from mars_engine.augment.propose import make_proposals
from mars_engine.core.chat_records import ChatRequest, KeptAnswer, Spending
from mars_engine.core.errors import ModelError
from mars_engine.core.records import Turn
from mars_engine.embeddings.packaged_lm import GGUF_SHA256, PACKAGED_LM

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("packaged_lm_folder")]
HERE = QUICK.model_copy(update={"backend": "llama.cpp", "model": PACKAGED_LM, "profile": "small", "concurrency": 2})


@pytest.fixture(autouse=True)
def installed() -> None:
    pytest.importorskip("xllamacpp")


def order(text: str, *, seed: int = 0, model: str = PACKAGED_LM) -> Order:
    parameters = {"max_tokens": 24, "seed": seed, "temperature": 0.0, "top_p": 1.0}
    return Order(ChatRequest("paraphrase", "s", model, (Turn("user", text),), parameters, "t", {}), 0, None)


def answers(orders) -> list[KeptAnswer]:
    def connect(config) -> ChatServer:
        return ChatServer(
            config,
            key="",
            keep=lambda _: None,
            spent=Spending,
            rng=np.random.default_rng(0),
            clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )

    models = LlamaCppModels(HERE, connect)
    try:
        return [future.result(timeout=120).kept for future in models.start(orders)]
    finally:
        models.close()


def test_it_answers_on_loopback_in_the_order_of_the_requests(tmp_path):
    copy = tmp_path / "a-copy.gguf"
    copy.symlink_to(find_gguf(PACKAGED_LM))
    first, second, other = answers(
        [
            order("What is 2+2?"),
            order("Rewrite: The cat sat on the mat."),
            order("What is 2+2?", model=str(copy)),
        ]
    )
    assert "4" in first.answer
    assert "cat" in second.answer
    assert other.answer == first.answer
    assert {each.server.rpartition(":")[0] for each in (first, second, other)} == {"http://127.0.0.1"}
    assert first.server == second.server != other.server, "a server for each model"
    assert first.output_tokens > 0


def test_it_proposes_like_any_other_generator_and_asks_once():
    with chat_bench(chat_config("http://127.0.0.1:1/v1", chat=HERE, variants=1, refine_tries=1), pairs=4) as bench:
        plan = planned(bench)
        report = make_proposals(bench, plan)
        kept = bench.store.chat.all()
        assert kept
        assert all(each.attempts == 1 and not each.failure for each in kept)
        assert report.retryable == 0
        make_proposals(replace(bench), plan, retry="retryable")
        assert bench.store.chat.all() == kept
        assert bench.paraphraser.card.settings["weights"] == GGUF_SHA256[:24] == gguf_fingerprint(PACKAGED_LM)


def test_what_is_no_model_is_refused_in_words(tmp_path):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(ModelError, match=r"cannot load .*damaged"):
        answers([order("hello", model=str(damaged))])
    with pytest.raises(ModelError, match="GGUF file"):
        answers([order("hello", model=str(tmp_path / "missing.gguf"))])
