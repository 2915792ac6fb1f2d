"""Layouts of real answers: joined they are the answers again, passages fit, and little of plain prose is kept."""

import pytest

from benchmarks.augment.seq2seq_layout import DEFAULTS, make_reader, read_answers, survey

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize(
    ("name", "least_in_passages", "least_with_items"),
    [("hh-harmless-train", 0.9, 0.95), ("alpaca-pairs-train", 0.3, 0.85)],
)
def test_real_answers_are_laid_out_without_loss(real_data, name, least_in_passages, least_with_items):
    texts = read_answers(real_data / f"{name}.jsonl.gz", 300)
    reader = make_reader(texts)
    for list_items, least in ((False, least_in_passages), (True, least_with_items)):
        found = survey(texts, reader, list_items=list_items)  # raises where a layout is not its text
        assert found.longest_passage <= DEFAULTS.max_tokens
        assert found.share_in_passages > least
        assert found.cut_sentences < 0.01 * found.passages
