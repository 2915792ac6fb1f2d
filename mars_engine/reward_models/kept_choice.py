"""Where a probe's chosen features are kept: a workspace's newest choice stands in one file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mars_engine.core.records import FloatArray, HiddenState
from mars_engine.core.whole_folder import replace_text
from mars_engine.reward_models.feature_choice import Candidate, FeatureChoice
from mars_engine.reward_models.features import ProbeFeatures, TextStates


class ChoiceKeeper(Protocol):
    """Keeps the features that were chosen last."""

    def load(self) -> FeatureChoice | None: ...

    def save(self, choice: FeatureChoice) -> None: ...


@dataclass
class MemoryKeeper:
    """Keeps a choice as long as the process lives."""

    choice: FeatureChoice | None = None

    def load(self) -> FeatureChoice | None:
        return self.choice

    def save(self, choice: FeatureChoice) -> None:
        self.choice = choice


@dataclass
class FileKeeper:
    """Keeps a choice in a file, written whole or not at all; another process's choice is seen at once."""

    path: Path
    _read: tuple[int, FeatureChoice] | None = field(default=None, init=False, repr=False)

    def load(self) -> FeatureChoice | None:
        """Return the choice, None where none was made or the file is damaged: then it is made again."""
        try:
            changed = self.path.stat().st_mtime_ns
            if self._read is None or self._read[0] != changed:
                plain = json.loads(self.path.read_text(encoding="utf-8"))
                self._read = (changed, choice_from_json(plain, np.array(plain["scale"], dtype=np.float64)))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self._read[1]

    def save(self, choice: FeatureChoice) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        plain = {**choice_as_json(choice), "scale": choice.features.scale.tolist()}
        replace_text(self.path, json.dumps(plain))

    def response_states(self) -> tuple[HiddenState, ...]:
        """Return the hidden states of a response alone that the chosen features are made of."""
        choice = self.load()
        if choice is None or choice.features.text.reading != "response":
            return ()
        return choice.features.text.states


def choice_as_json(choice: FeatureChoice) -> dict[str, Any]:
    """Return a choice as plain JSON, without its scale."""
    return {
        "text": asdict(choice.features.text),
        "l2": choice.l2,
        "made_for": choice.made_for,
        "made_of": choice.made_of,
        "reason": choice.reason,
        "candidates": [asdict(candidate) for candidate in choice.candidates],
    }


def choice_from_json(plain: Mapping[str, Any], scale: FloatArray) -> FeatureChoice:
    """Return the choice that `choice_as_json` was given, with its scale."""

    def text_states(fields: Mapping[str, Any]) -> TextStates:
        return TextStates(fields["reading"], fields["pooling"], tuple(fields["layers"]))

    candidates = tuple(Candidate(**(dict(each) | {"text": text_states(each["text"])})) for each in plain["candidates"])
    return FeatureChoice(
        ProbeFeatures(text_states(plain["text"]), np.asarray(scale, dtype=np.float64)),
        float(plain["l2"]),
        str(plain["made_for"]),
        str(plain["made_of"]),
        str(plain["reason"]),
        candidates,
    )
