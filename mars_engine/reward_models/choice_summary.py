"""A probe's choice of features as its record, its card and the pages tell it: what it reads, why, and what else was
tried."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mars_engine.core.records import ModelRecord, Pooling
from mars_engine.reward_models.feature_choice import FOLD_DRAWS, Candidate, FeatureChoice
from mars_engine.reward_models.features import Reading, TextStates

CHOICE_METRIC = "feature_choice"
"""Where a summary stands among a record's metrics."""

COLUMNS = ("layers", "tokens read", "log-loss (nats)", "accuracy", "best penalty", "pairs")
NUMBERS = COLUMNS[2:]
"""Those of the columns that hold numbers."""

READ_TOKENS: Mapping[Reading, str] = {
    "response": "response alone",
    "context": "after its prompt",
    "all": "prompt and response",
}
HOW_COMPARED = (
    "Log-loss and accuracy are of training pairs that the fit did not see, under the penalty that serves the row best, "
    "the log-loss at the best scale of the margins. Compare rows on the same pairs only. The figures are of one draw "
    f"of the folds; {FOLD_DRAWS} draws decided among the leading rows, so the chosen one may not have the lowest "
    "log-loss. Reading a response after its prompt takes longer, and is chosen only where it is clearly better. "
    "“Sentence” is the sentence embedding."
)
HOW_TO_FIX = (
    "To fix what is read, set layers, reading, pooling or l2 under [probe] in mars.toml or on the page Settings, for "
    'example layers = "3,5", and train again.'
)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way of reading that was tried, under the penalty that suits it best."""

    layers: tuple[int, ...]
    """None stands for the sentence embedding."""
    reading: Reading
    l2: float
    accuracy: float
    """Share of the out-of-fold margins on the label's side."""
    log_loss: float
    """Of the out-of-fold margins, in nats; see Candidate."""
    pairs: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class ChoiceSummary:
    """What a probe reads, a clause that says how that was chosen, and the alternatives: the chosen one first, then by
    the pairs they were judged on and their log-loss. There are none where the settings or too few pairs decided."""

    layers: tuple[int, ...]
    reading: Reading
    pooling: Pooling
    l2: float
    reason: str
    alternatives: tuple[Alternative, ...]

    @property
    def as_json(self) -> dict[str, Any]:
        """Return the summary as plain JSON, for a record's metrics."""
        plain = asdict(self) | {"layers": list(self.layers)}
        return plain | {
            "alternatives": [asdict(each) | {"layers": list(each.layers)} for each in self.alternatives],
        }


def summarize_choice(choice: FeatureChoice) -> ChoiceSummary:
    """Return what a choice's record keeps of it: of each way of reading, and each number of pairs, one candidate."""
    text = choice.features.text
    most = max((candidate.pairs for candidate in choice.candidates), default=0)
    best: dict[tuple[TextStates, int], Candidate] = {}
    for candidate in choice.candidates:
        place = (candidate.text, candidate.pairs)
        if place not in best or _rank(candidate, choice) < _rank(best[place], choice):
            best[place] = candidate
    alternatives = [
        Alternative(
            each.text.layers,
            each.text.reading,
            each.l2,
            each.accuracy,
            each.log_loss,
            each.pairs,
            chosen=(each.text, each.l2, each.pairs) == (text, choice.l2, most),
        )
        for each in best.values()
    ]
    alternatives.sort(key=lambda each: (not each.chosen, -each.pairs, each.log_loss))
    return ChoiceSummary(text.layers, text.reading, text.pooling, choice.l2, choice.reason, tuple(alternatives))


def summary_of(record: ModelRecord) -> ChoiceSummary | None:
    """Return what a model reads, None of a transformer."""
    plain = record.metrics.get(CHOICE_METRIC)
    if plain is None:
        return None
    alternatives = tuple(Alternative(**(each | {"layers": tuple(each["layers"])})) for each in plain["alternatives"])
    return ChoiceSummary(**(plain | {"layers": tuple(plain["layers"]), "alternatives": alternatives}))


def say_choice(summary: ChoiceSummary) -> str:
    """Return what a probe reads and how that was chosen, as a clause."""
    why = f"with the penalty {summary.l2:g}, {summary.reason}"
    if not summary.layers:
        text = {"response": "the response", "context": "the response after its prompt", "all": "prompt and response"}
        return f"reads the sentence embedding of {text[summary.reading]}, {why}"
    tokens = {
        "response": "the response's tokens",
        "context": "the response's tokens, which follow its prompt,",
        "all": "all tokens of prompt and response",
    }[summary.reading]
    which = "mean" if summary.pooling == "mean" else "last"
    layers = f"layer{'s' if len(summary.layers) > 1 else ''} {say_layers(summary.layers)}"
    return f"reads the {which} of {tokens} at {layers} of the encoder, {why}"


def say_layers(layers: tuple[int, ...]) -> str:
    """Return the layers in words."""
    if not layers:
        return "sentence"
    before, last = layers[:-1], str(layers[-1])
    return f"{', '.join(map(str, before))} and {last}" if before else last


def row_of(alternative: Alternative) -> tuple[str, ...]:
    """Return an alternative for the probe as the texts of a table's row, in the order of COLUMNS."""
    return (
        say_layers(alternative.layers) + (" (chosen)" if alternative.chosen else ""),
        READ_TOKENS[alternative.reading],
        f"{alternative.log_loss:.4f}",
        f"{alternative.accuracy:.1%}",
        f"{alternative.l2:g}",
        f"{alternative.pairs:,}",
    )


def _rank(candidate: Candidate, choice: FeatureChoice) -> tuple[bool, float, float]:
    """The order of candidates that differ in their penalty: of the chosen reading, the chosen penalty is first."""
    is_chosen = (candidate.text, candidate.l2) == (choice.features.text, choice.l2)
    return not is_chosen, candidate.log_loss, -candidate.l2
