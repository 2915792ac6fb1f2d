"""What models are called: labels that tell them apart, and the names by which they are found again."""

from datetime import UTC, datetime

from mars_engine.core.records import ModelRecord
from mars_engine.reward_models.model_labels import models_named, with_distinct_labels

NOW = datetime(2026, 11, 29, tzinfo=UTC)
FIRST, SECOND, OTHER = (
    ModelRecord(model_id, "probe", label, {}, {}, "", "", 0, NOW)
    for model_id, label in (("abcdef01", "warm-up"), ("abcdef99", "warm-up"), ("012345ff", "signed round 1"))
)
MODELS = (FIRST, SECOND, OTHER)


def test_a_model_is_found_by_every_name_that_it_is_shown_under():
    assert models_named(MODELS, "warm-up") == [FIRST, SECOND]
    assert models_named(MODELS, "signed round 1") == models_named(MODELS, "012345") == [OTHER]
    for shown, record in zip(with_distinct_labels([FIRST, OTHER]), (FIRST, OTHER), strict=True):
        assert shown.label == record.label
        assert record in models_named(MODELS, shown.label)
    assert [each.label for each in with_distinct_labels(MODELS)][:2] == ["warm-up (abcdef)"] * 2
    assert models_named(MODELS, "abcdef01") == [FIRST]


def test_too_short_a_beginning_and_an_unknown_name_find_nothing():
    assert models_named(MODELS, "01234") == models_named(MODELS, "warm") == models_named(MODELS, "") == []
