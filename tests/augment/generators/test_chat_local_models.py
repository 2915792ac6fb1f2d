"""Instruct models that transformers runs here: a tiny random Llama in the chat generator's place of a server."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from chat_tools import QUICK, chat_bench, chat_config, planned
from tiny_causal import POSITIONS, save_tiny_causal

from mars_engine.augment.generators.chat.backend import Order
from mars_engine.augment.generators.chat.local_models import LocalModels
from mars_engine.augment.propose import make_proposals
from mars_engine.core.chat_records import ChatRequest, KeptAnswer
from mars_engine.core.errors import ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Turn

pytestmark = pytest.mark.model
HERE = QUICK.model_copy(update={"backend": "transformers", "device": "cpu", "max_tokens": 32})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return str(save_tiny_causal(tmp_path_factory.mktemp("causal") / "model"))


def order(model: str, text: str, *, seed: int = 0, most_tokens: int = 32, temperature: float = 0.8, top_p: float = 1.0):
    parameters = {"max_tokens": most_tokens, "seed": seed, "temperature": temperature, "top_p": top_p}
    request = ChatRequest("paraphrase", "s", model, (Turn("user", text),), parameters, "t", {})
    return Order(request, 0, None)


def answers(orders, *, batch_tokens: int = 0) -> list[KeptAnswer]:
    kept: list[list[KeptAnswer]] = []
    config = HERE.model_copy(update={"batch_tokens": batch_tokens})
    models = LocalModels(config, kept.append, lambda: datetime(2026, 1, 1, tzinfo=UTC), SilentProgress())
    replies = [future.result().kept for future in models.start(orders)]
    models.close()
    assert sorted(each.request_id for batch in kept for each in batch) == sorted(each.request_id for each in replies)
    return replies


def test_what_else_is_in_the_batch_changes_no_draw(tiny):
    texts = ["hello", "a longer text, which needs padding beside it", "hi", "and a fourth one here"]
    orders = [order(tiny, text, seed=number) for number, text in enumerate(texts)]
    together = [each.answer for each in answers(orders)]
    assert together == [each.answer for each in answers(orders, batch_tokens=1)], "each alone"
    assert together == [each.answer for each in answers(orders[::-1])][::-1]
    assert len(set(together)) == 4


def test_another_seed_draws_another_answer_and_no_temperature_draws_none(tiny):
    first, second, again = (answers([order(tiny, "hello", seed=seed)])[0].answer for seed in (1, 2, 1))
    assert first == again != second
    cold = [answers([order(tiny, "hello", seed=seed, temperature=0.0)])[0].answer for seed in (1, 2)]
    assert cold[0] == cold[1]


def test_sampling_follows_the_models_probabilities(tiny):
    """The noise on the logits makes their maximum a draw from the softmax: checked on first tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], add_generation_prompt=True)["input_ids"]
    with torch.inference_mode():
        expected = torch.softmax(model(torch.tensor([ids])).logits[0, -1] / 2.0, dim=-1)
    likeliest = int(expected.argmax())
    draws = answers([order(tiny, "hello", seed=seed, temperature=2.0, most_tokens=1) for seed in range(600)])
    word = tokenizer.decode([likeliest], skip_special_tokens=True)
    share = sum((each.answer or "").startswith(word) for each in draws) / len(draws)
    at_least = float(expected[likeliest])
    begins = sum(float(expected[token]) for token in range(len(expected)) if tokenizer.decode([token]).startswith(word))
    assert at_least - 0.06 < share < begins + 0.06


def test_a_request_that_is_too_long_is_refused_and_the_others_are_answered(tiny):
    good, bad = answers([order(tiny, "hello"), order(tiny, "word " * POSITIONS)])
    assert good.answer is not None
    assert bad.answer is None
    assert f"takes {POSITIONS:,} in all" in bad.failure
    assert bad.is_settled


def test_it_proposes_like_any_other_generator_and_asks_once(tmp_path):
    model = str(save_tiny_causal(tmp_path / "model", ends_soon=True))
    chat = HERE.model_copy(update={"model": model, "candidates": 1})
    config = chat_config("http://127.0.0.1:1/v1", chat=chat, variants=2, refine_tries=1)
    with chat_bench(config, pairs=6) as bench:
        plan = planned(bench)
        report = make_proposals(bench, plan)
        kept = bench.store.chat.all()
        assert {each.server for each in kept} == {"transformers"}
        assert all(each.attempts == 1 for each in kept)
        assert report.proposals > 0
        assert report.retryable == 0
        make_proposals(replace(bench), plan, retry="retryable")
        assert bench.store.chat.all() == kept
        assert bench.paraphraser.card.settings["weights"]


def test_a_model_that_is_not_here_is_not_downloaded(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(ModelError, match=r"hf download someone/unknown"):
        answers([order("someone/unknown", "hello")])


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    folder = str(save_tiny_causal(tmp_path / "model", chat_template=False))
    with pytest.raises(ModelError, match="no chat template"):
        answers([order(folder, "hello")])


def test_a_model_that_lacks_weights_is_refused(tmp_path):
    """It would answer with random ones in their place."""
    folder = save_tiny_causal(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": config["num_hidden_layers"] + 1}))
    with pytest.raises(ModelError, match=r"lacks weights.*correct 'model' under \[chat\]"):
        answers([order(str(folder), "hello")])


def test_a_device_that_is_not_there_is_refused(tiny):
    config = HERE.model_copy(update={"device": "cuda:97"})
    models = LocalModels(config, lambda _: None, lambda: datetime(2026, 1, 1, tzinfo=UTC), SilentProgress())
    with pytest.raises(ModelError, match=r"'cuda:97' cannot be used.*under \[chat\]"):
        models.start([order(tiny, "hello")])
