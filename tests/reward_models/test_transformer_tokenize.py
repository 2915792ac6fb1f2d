"""Pairs as tokens: what plain tokenizers give, and truncation that keeps what the two responses differ in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_transformers import make_tokenizer

from mars_engine.core.errors import ConfigError, ModelError
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import Pair, Truncation, Turn
from mars_engine.embeddings.context import render_context
from mars_engine.reward_models.transformer.tokenize import PairTokenizer, TokenizedPair, count_truncation

pytestmark = pytest.mark.model

SILENT = SilentProgress()
FORMATS = ("pair", "concat", "chat")
TOKENIZERS = {is_decoder: make_tokenizer(["what is this about"], is_decoder=is_decoder) for is_decoder in (False, True)}
TOKENIZER = TOKENIZERS[False]
LONG_PROMPT = "".join(f"old{n} " for n in range(80))


def pair_of(prompt: str, chosen: str, rejected: str) -> Pair:
    return Pair.of((Turn("user", prompt),), chosen, rejected)


def tokenized(pair: Pair, input_format: Any, max_tokens: int, *, is_decoder: bool = False) -> TokenizedPair:
    tokenizer = PairTokenizer(TOKENIZERS[is_decoder], input_format, max_tokens)
    return tokenizer.tokenize([pair], progress=SILENT)[0]


def text_of(side: Any) -> str:
    return str(TOKENIZER.decode(side.token_ids, skip_special_tokens=True))


@pytest.mark.parametrize("is_decoder", [False, True])
@pytest.mark.parametrize("input_format", FORMATS)
def test_what_fits_is_what_plain_transformers_make_of_it(input_format, is_decoder):
    pair = pair_of("what is it?\nsay", "  it is\n\nthis ", "é — that")
    tokenizer = TOKENIZERS[is_decoder]
    side = tokenized(pair, input_format, 500, is_decoder=is_decoder).chosen
    context = render_context(pair.prompt)
    turns = [{"role": "user", "content": pair.prompt[0].content}, {"role": "assistant", "content": pair.chosen}]
    plain = {
        "pair": lambda: tokenizer(context, pair.chosen),
        "concat": lambda: tokenizer(context + pair.chosen),
        "chat": lambda: tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False),
    }[input_format]()
    assert list(side.token_ids) == plain["input_ids"]
    assert (side.context_tokens_cut, side.response_tokens_cut) == (0, 0)
    if input_format == "chat":
        assert list(side.token_ids) == tokenizer.apply_chat_template(turns)["input_ids"]


@pytest.mark.parametrize("is_decoder", [False, True])
@pytest.mark.parametrize("input_format", FORMATS)
def test_the_prompt_is_cut_from_the_left_and_the_response_survives(input_format, is_decoder):
    pair = pair_of(f"{LONG_PROMPT}the newest words", "the chosen answer", "the rejected answer")
    row = tokenized(pair, input_format, 60, is_decoder=is_decoder)
    for side, response in ((row.chosen, pair.chosen), (row.rejected, pair.rejected)):
        assert len(side.token_ids) == 60
        assert side.context_tokens_cut > 0
        assert side.response_tokens_cut == 0
        assert text_of(side).endswith(response)
        assert "newest words" in text_of(side)
        assert "old0 " not in text_of(side)
        assert side.token_ids[0] == TOKENIZER.bos_token_id
        if not (is_decoder and input_format != "chat"):
            assert side.token_ids[-1] == TOKENIZER.eos_token_id
    assert count_truncation([row]) == Truncation(passages=2, contexts_cut=2, responses_cut=0)


@pytest.mark.parametrize("input_format", FORMATS)
def test_of_a_response_that_is_too_long_the_stretch_stays_in_which_the_two_differ(input_format):
    same = "".join(f"same{n} " for n in range(100))
    row = tokenized(pair_of("a prompt", f"{same}DIFFERENT{same}", f"{same}another{same}"), input_format, 60)
    assert "DIFFERENT" in text_of(row.chosen)
    assert "another" in text_of(row.rejected)
    assert row.chosen.token_ids != row.rejected.token_ids
    for side in (row.chosen, row.rejected):
        assert len(side.token_ids) <= 60
        assert "same99" in text_of(side)  # some of what comes before
    assert count_truncation([row]).responses_cut == 2


def test_a_response_that_differs_at_once_is_kept_from_its_beginning():
    row = tokenized(pair_of("a prompt", "good " * 100, "bad"), "pair", 40)
    assert text_of(row.chosen).startswith("good good")
    assert "bad" in text_of(row.rejected)
    assert "a prompt" in text_of(row.rejected)
    assert count_truncation([row]) == Truncation(passages=2, contexts_cut=1, responses_cut=1)


def test_a_response_that_goes_on_where_the_other_ends_is_still_told_apart():
    same = "".join(f"same{n} " for n in range(100))
    row = tokenized(pair_of("a prompt", same, f"{same} and more and more and more"), "concat", 50)
    assert row.chosen.token_ids != row.rejected.token_ids
    assert "more" in text_of(row.rejected)
    assert "same99" in text_of(row.chosen)


@given(
    prompt=st.text(max_size=60),
    start=st.text(max_size=80),
    chosen=st.text(max_size=80),
    rejected=st.text(max_size=80),
    max_tokens=st.integers(16, 80),
    input_format=st.sampled_from(["pair", "concat"]),
)
def test_no_pair_is_longer_than_the_limit_or_made_the_same_by_it(
    prompt, start, chosen, rejected, max_tokens, input_format
):
    pair = pair_of(prompt, start + chosen, start + rejected)
    row, whole = tokenized(pair, input_format, max_tokens), tokenized(pair, input_format, 10_000)
    assert all(len(side.token_ids) <= max_tokens for side in (row.chosen, row.rejected))
    for side, all_of_it in ((row.chosen, whole.chosen), (row.rejected, whole.rejected)):
        cut = side.context_tokens_cut + side.response_tokens_cut
        assert len(side.token_ids) + cut == len(all_of_it.token_ids)
        assert len(side.type_ids) == len(side.token_ids)
    if whole.chosen.token_ids != whole.rejected.token_ids:
        assert row.chosen.token_ids != row.rejected.token_ids


def test_a_pair_does_not_depend_on_those_beside_it():
    pairs = [pair_of(f"p{n}", "chosen " * n, "rejected") for n in range(1, 30)]
    tokenizer = PairTokenizer(TOKENIZER, "pair", 32)
    assert tokenizer.tokenize(pairs, progress=SILENT) == [
        tokenizer.tokenize([pair], progress=SILENT)[0] for pair in pairs
    ]


def test_formats_that_a_tokenizer_cannot_do_are_refused():
    import copy

    bare = copy.deepcopy(TOKENIZER)
    bare.chat_template = None
    with pytest.raises(ConfigError, match="no chat template"):
        PairTokenizer(bare, "chat", 100)

    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="fast tokenizer"):
        PairTokenizer(Slow(), "pair", 100)
    shouting = copy.deepcopy(TOKENIZER)
    shouting.chat_template = "{% for message in messages %}{{ message['content'] | upper }}{% endfor %}"
    with pytest.raises(ModelError, match="changes the text of a response"):
        PairTokenizer(shouting, "chat", 100).tokenize([pair_of("p", "chosen", "rejected")], progress=SILENT)
    strict = copy.deepcopy(TOKENIZER)
    strict.chat_template = "{{ raise_exception('only odd turns') }}"
    with pytest.raises(ModelError, match="refuses a dialogue of 2 turns: only odd turns"):
        PairTokenizer(strict, "chat", 100).tokenize([pair_of("p", "chosen", "rejected")], progress=SILENT)
