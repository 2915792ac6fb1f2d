"""The packaged language detector, with its real model."""

import pytest

from mars_engine.augment.quality.languages import PackagedLanguageDetector

DETECTOR = PackagedLanguageDetector()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I don't know what you mean by that, sorry.", "en"),
        ("Das ist ein schöner Satz über die Stadt.", "de"),
        ("La dentisterie, également connue sous le nom de médecine dentaire, est une branche.", "fr"),
        ("日本語の文章です。", "ja"),
    ],
)
def test_a_sentence_is_told(text, language):
    assert DETECTOR.language(text) == language


@pytest.mark.parametrize("text", ["", "No.", "Yes", "print(x)", "12 + 30 = 42", "🐱😺🐾", "OK?"])
def test_what_is_short_or_no_language_is_undecided(text):
    assert DETECTOR.language(text) is None


def test_of_a_long_text_the_beginning_tells():
    assert DETECTOR.language("This is a sentence in plain English. " * 10_000) == "en"
