"""A small chat model behind a server: one rewrite of a passage a request, in plain text, echoes none."""

import pytest
from chat_tools import QUICK, chat_bench, chat_config
from scripted_chat import Answer, Asked, serving

from mars_engine.augment.generators.chat import ChatParaphraser, SmallChatParaphraser, SmallChatRefiner
from mars_engine.augment.generators.protocols import ParaphraseRequest, RefineRequest
from mars_engine.core.config import CausalConfig, ChatConfig
from mars_engine.core.config.model_sizes import parameters_by_name
from mars_engine.core.records import Turn

TEXT = "The old cat sat on the mat all day. It did not move before the evening came."
CODE = "\n\n```python\nprint('cat')\n```\n\n"
NAME = "qwen2.5:0.5b"


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("qwen2.5:0.5b", 0.5),
        ("llama3.2:1b-instruct-q8_0", 1),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 0.135),
        ("SmolLM2-1.7B", 1.7),
        ("models/7b/smollm2_360m.gguf", 0.36),
        ("llama3.2:3b", 3),
        ("Mixtral-8x7B-Instruct", 56),
        ("Qwen3-30B-A3B", 30),
        ("Qwen2.5-7B-Instruct-1M", 7),
        ("gpt-4.1-mini", None),
        ("model-4bit", None),
        ("llama3.2", None),
        ("", None),
    ],
)
def test_a_models_size_is_read_from_its_name(name, billions):
    assert parameters_by_name(name) == (None if billions is None else pytest.approx(billions * 1e9))


def test_below_three_billion_parameters_a_model_is_small_unless_it_is_set_otherwise():
    assert ChatConfig(model="llama3.2:1b").is_small
    assert not ChatConfig(model="llama3.2:3b").is_small
    assert not ChatConfig(model="gpt-4.1-mini").is_small
    assert ChatConfig(model="tinyllama", profile="small").is_small
    assert not ChatConfig(model="llama3.2:1b", profile="large").is_small
    assert "'small' (chat.profile; by its name it has 1 billion" in ChatConfig(model="llama3.2:1b").profile_in_words
    assert "its name tells no size" in ChatConfig(model="llama3.2").profile_in_words


def numbered(asked: Asked) -> Answer:
    """An answer that says which instruction and seed it is for, with an announcement."""
    passage, seed = asked.messages[-1]["content"], asked.body["seed"]
    formal = "formal" in asked.messages[0]["content"]
    manner = "Formally" if formal else "Briefly"
    return Answer(f"Here is a rewriting:\n\n{manner} said, draw {seed}: {passage.upper()}")


def small_config(url: str, causal: CausalConfig | None = None, **chat: object):
    config = chat_config(url, chat=QUICK.model_copy(update={"model": NAME, **chat}))
    return config if causal is None else config.model_copy(update={"causal": causal})


def paraphrase(bench, text: str = TEXT, *, count: int = 2, **changes: object):
    (answer,) = bench.paraphraser.paraphrase([ParaphraseRequest("k", text, count, 5, "pair", **changes)])
    return answer


def test_a_small_model_is_asked_for_one_rewrite_a_request_in_plain_text():
    with serving(numbered) as server, chat_bench(small_config(server.base_url)) as bench:
        assert isinstance(bench.paraphraser, SmallChatParaphraser)
        answer = paraphrase(bench)
        spare = bench.config.causal.spare
        instructions = bench.config.causal.instruction_lines
        kept = bench.store.chat.newest(answer.provenance["answers"])
    assert len(server.asked) == 2 + spare
    assert {asked.body["seed"] for asked in server.asked} == set(range(5, 7 + spare))
    assert all([turn["role"] for turn in asked.messages] == ["system", "user"] for asked in server.asked)
    assert {asked.messages[0]["content"] for asked in server.asked} == set(instructions)
    assert {asked.messages[1]["content"] for asked in server.asked} == {TEXT}
    assert not any("response_format" in asked.body for asked in server.asked)
    assert len(answer.candidates) == 2
    assert not answer.failure
    assert all("said, draw" in each and "Here is" not in each for each in answer.candidates)
    assert len(kept) == 2 + spare
    assert {(each.source_id, each.purpose) for each in kept.values()} == {("pair", "paraphrase")}


def test_a_name_without_a_size_and_a_profile_by_hand_ask_otherwise():
    with chat_bench(small_config("http://127.0.0.1:1/v1", profile="large")) as bench:
        assert isinstance(bench.paraphraser, ChatParaphraser)
    with chat_bench(small_config("http://127.0.0.1:1/v1", model="tiny", profile="small")) as bench:
        assert isinstance(bench.paraphraser, SmallChatParaphraser)
        assert isinstance(bench.refiner, SmallChatRefiner)


def test_long_texts_are_asked_for_by_passages_and_code_stays_to_the_letter():
    text = f"{TEXT} {TEXT}{CODE}{TEXT}"
    causal = CausalConfig(max_tokens=16, spare=1)
    with serving(numbered) as server, chat_bench(small_config(server.base_url, causal)) as bench:
        answer = paraphrase(bench, text, count=1)
    passages = {asked.messages[1]["content"] for asked in server.asked}
    assert len(passages) == 2  # the two sentences, wherever they stand, asked once each
    assert all("```" not in passage and len(passage) <= 4 * 16 for passage in passages)
    assert answer.provenance["passages"] == 6
    assert answer.candidates[0].count(CODE) == 1


ECHOES = [
    lambda asked: asked.messages[0]["content"],
    lambda asked: f"{asked.messages[0]['content'].split('. ')[1]}. The cat sat.",
    lambda asked: asked.messages[1]["content"],
    lambda asked: f"Here is the rewritten text: {asked.messages[1]['content']}",
    lambda _asked: "<think>What cat?</think>",
    lambda _asked: "cat " * 20,
]


@pytest.mark.parametrize("echo", ECHOES)
def test_echoes_and_empty_answers_are_no_rewritings_and_the_text_is_never_passed_off(echo):
    with (
        serving(lambda asked: Answer(echo(asked))) as server,
        chat_bench(small_config(server.base_url)) as bench,
    ):
        answer = paraphrase(bench)
    assert answer.candidates == ()
    assert "nothing fit was written" in answer.failure
    assert not answer.retryable


def test_candidates_are_chosen_by_fitness_not_by_their_order():
    def late(asked: Asked) -> Answer:
        return numbered(asked) if asked.body["seed"] >= 8 else Answer(asked.messages[1]["content"])

    with serving(late) as server, chat_bench(small_config(server.base_url)) as bench:
        answer = paraphrase(bench)
    assert not answer.failure
    assert sorted(text.split("draw ")[1][0] for text in answer.candidates) == ["8", "9"]


def test_an_answer_that_reached_its_limit_is_none():
    with (
        serving(lambda asked: Answer(numbered(asked).content, finish_reason="length")) as server,
        chat_bench(small_config(server.base_url)) as bench,
    ):
        assert "not finished at the length limit" in paraphrase(bench).failure


def test_what_a_server_cannot_answer_now_is_postponed_and_asked_alone_later():
    done: list[bool] = []

    def busy_at_first(asked: Asked) -> Answer:
        return Answer("busy", status=503) if asked.body["seed"] == 6 and not done else numbered(asked)

    with serving(busy_at_first) as server, chat_bench(small_config(server.base_url, retries=0)) as bench:
        first = paraphrase(bench)
        assert first.retryable
        assert "503" in first.failure
        done.append(True)
        before = len(server.asked)
        again = paraphrase(bench)
        assert len(server.asked) == before + 1
    assert not again.failure
    assert len(again.candidates) == 2


def test_unfit_answers_are_asked_for_anew_with_other_seeds_where_that_is_wanted():
    def better_seeds(asked: Asked) -> Answer:
        is_fit = asked.body["seed"] > 1_000 or asked.body["seed"] == 5
        return numbered(asked) if is_fit else Answer("No.")

    with serving(better_seeds) as server, chat_bench(small_config(server.base_url)) as bench:
        assert paraphrase(bench).failure.startswith("only 1 of 2")
        first = len(server.asked)
        assert paraphrase(bench).failure
        assert len(server.asked) == first
        wish = ParaphraseRequest("k", TEXT, 2, 5, "pair", ask_again=True)
        assert bench.paraphraser.estimate([wish]).to_ask == first - 1
        assert not paraphrase(bench, ask_again=True).failure
        assert len(server.asked) == 2 * first - 1


def test_the_refiner_asks_about_the_side_alone_and_draws_bolder_at_every_try():
    prompt = (Turn("user", "Where is the cat?"),)
    asked = RefineRequest("k", prompt, TEXT, "The dog ran off and came home late.", "rejected", 2, 0, "pair")
    with serving(numbered) as server, chat_bench(small_config(server.base_url)) as bench:
        (answer,) = bench.refiner.refine([asked])
        kept = bench.store.chat.newest(answer.provenance["answers"])
    by_seed = sorted(server.asked, key=lambda each: each.body["seed"])
    temperatures = [each.body["temperature"] for each in by_seed]
    assert temperatures == sorted(set(temperatures))
    assert (temperatures[0], temperatures[-1]) == (0.7, pytest.approx(1.2))
    assert {each.messages[1]["content"] for each in by_seed} == {"The dog ran off and came home late."}
    assert {each.purpose for each in kept.values()} == {"refine rejected"}


def test_what_is_prefetched_is_asked_once_and_the_estimate_counts_passages():
    causal = CausalConfig(max_tokens=16, spare=1)
    wish = ParaphraseRequest("k", TEXT, 2, 5, "pair")
    with serving(numbered) as server, chat_bench(small_config(server.base_url, causal)) as bench:
        estimate = bench.paraphraser.estimate([wish])
        bench.paraphraser.prefetch([wish])
        bench.paraphraser.paraphrase([wish])
        after = bench.paraphraser.estimate([wish])
    assert estimate.requests == estimate.to_ask == len(server.asked) == 6
    assert after.to_ask == 0


def test_the_card_names_the_profile_and_all_that_texts_depend_on():
    def card(**causal: object):
        config = small_config("http://127.0.0.1:1/v1", CausalConfig.model_validate(causal), concurrency=3)
        with chat_bench(config) as bench:
            return bench.paraphraser.card

    assert card().settings["profile"] == "small"
    assert card().settings["model"] == NAME
    assert card() == card(batch_tokens=9)
    assert card() != card(spare=1)
