"""The language of a text, by py3langid: a naive Bayes model inside the package, so that nothing is downloaded."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LEAST_CONFIDENCE = 0.9
"""The package's confidence is calibrated over lengths: on 2,700 real answers nothing above it was wrong, and texts
below it are short ones ("Yes.", "Test") or formulas."""
MOST_CHARACTERS = 1_000
"""Of a text that are looked at: enough to be sure, and quick."""
UNDECIDED = frozenset({"und", "zxx"})
"""The package's codes for an unsure case, and for what is no language."""


@dataclass(frozen=True)
class PackagedLanguageDetector:
    """Tells the language of texts, for the gate that asks whether it has changed.

    The model is loaded when the first text comes, in one to two seconds.
    """

    least_confidence: float = LEAST_CONFIDENCE

    def language(self, text: str) -> str | None:
        """Return the ISO 639 code of a text's language; None where it is too short or too mixed to tell."""
        code, _ = self._identifier.classify(text[:MOST_CHARACTERS])
        return None if code in UNDECIDED else str(code)

    @cached_property
    def _identifier(self) -> "LanguageIdentifier":
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=self.least_confidence)
