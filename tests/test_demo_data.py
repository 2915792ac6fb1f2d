"""The demo pairs keep the promises of data/README.md. No test reads which of them are mislabelled."""

import json
from collections import Counter

import pytest

from mars_engine.core.shipped import shipped
from mars_engine.data.demo_pairs import DEMO_IN_WORDS

DOMAINS = {"writing", "coding", "arithmetic", "factual", "advice", "safety", "summarising", "instructions"}


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (shipped("data") / name).read_text(encoding="utf-8").splitlines()]


TRAIN, TEST = rows("demo-train.jsonl"), rows("demo-test.jsonl")


def test_sizes_domains_and_kinds():
    assert (len(TRAIN), len(TEST)) == (360, 252)
    for part, least in ((TRAIN, 44), (TEST, 31)):
        domains = Counter(row["domain"] for row in part)
        assert set(domains) == DOMAINS
        assert set(domains.values()) <= {least, least + 1, least + 2}
    kinds = {"wrong", "vague", "too_long", "ignores_constraint", "unsafe", "overcautious"}
    assert {row["worse"] for row in TRAIN + TEST} == kinds
    assert sum(len(row["prompt"]) > 1 for row in TRAIN + TEST) == 119
    assert sum(row["closeness"] == "close" for row in TRAIN + TEST) == 225


def test_the_app_tells_how_many_there_are():
    assert DEMO_IN_WORDS.startswith(f"{len(TRAIN) + len(TEST)} pairs ")
    assert f": {len(TRAIN)} to train on, {len(TEST)} held out. " in DEMO_IN_WORDS


@pytest.mark.parametrize("part", [TRAIN, TEST, TRAIN + TEST])
def test_length_alone_does_not_predict_the_better_side(part):
    wins = [len(row["chosen"][0]["content"]) > len(row["rejected"][0]["content"]) for row in part]
    print(f'"longer wins" is right on {sum(wins) / len(wins):.3f} of {len(wins)} pairs')
    assert 0.45 <= sum(wins) / len(wins) <= 0.55


def test_no_prompt_is_in_both_parts_and_no_text_twice():
    prompts = [{json.dumps(row["prompt"]) for row in part} for part in (TRAIN, TEST)]
    assert not prompts[0] & prompts[1]
    texts = [row[side][0]["content"] for row in TRAIN + TEST for side in ("chosen", "rejected")]
    assert len(texts) == len(set(texts))
