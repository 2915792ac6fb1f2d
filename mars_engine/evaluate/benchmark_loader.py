"""RewardBench 1 and 2 as a benchmark: all rows, with their subsets and ids. As pairs to import, see `data/loaders`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mars_engine.core.errors import LoadError
from mars_engine.core.records import Prompt, Turn
from mars_engine.data.loaders.drafts import EMPTY_SIDE, Dropped, checked_text, subset_of, turns_of
from mars_engine.data.loaders.hub import PREFIX
from mars_engine.data.loaders.opening import open_rows
from mars_engine.data.loaders.reading import RawRow

BenchmarkVersion = Literal[1, 2]

HUB_SETS: Mapping[BenchmarkVersion, str] = {
    1: f"{PREFIX}allenai/reward-bench@filtered",
    2: f"{PREFIX}allenai/reward-bench-2@test",
}
"""Where the two versions are published; version 1 is scored on its split `filtered`."""

NO_SUBSETS = {"accuracy", "num_prompts"}
"""Numbers in the official tool's metadata that are no subset's score."""
LARGEST_SCORE = 1.01
"""Of the subset Ties; see mars_engine.evaluate.rewardbench_scores.ties_score."""


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """A prompt with its right answers and its wrong ones: one each in version 1, one to many in version 2."""

    id: str
    subset: str
    prompt: Prompt
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False)
    """The row as its source has it."""

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers, the right ones first."""
        return self.right + self.wrong


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """All rows of a benchmark's source, in their order. `content_hash` differs where a row differs."""

    version: BenchmarkVersion
    location: str
    content_hash: str
    rows: tuple[BenchmarkRow, ...]


def load_benchmark(locations: Sequence[str], *, version: BenchmarkVersion | None = None) -> BenchmarkSet:
    """Read the rows of a benchmark, every one with its subset and id.

    Unlike an import it keeps rows with equal or empty answers, and is all or nothing: with a row left out, the figures
    would not be those of the benchmark.

    Args:
        locations: files (as `open_source` reads them) or hub:owner/name@split; their rows are put together.
        version: 1 or 2; None to tell it from the rows, which have single answers or lists of them.

    Raises:
        LoadError: a source cannot be read or has no rows, a row cannot be used, or the rows are of another version.
    """
    raw_rows: list[tuple[str, RawRow]] = []
    digest = hashlib.sha256()
    for location in locations:
        opened = open_rows(location)
        digest.update(opened.content_hash.encode())
        raw_rows += [(location, raw) for raw in opened.read()]
    if not raw_rows:
        raise LoadError(f"{', '.join(locations)} has no rows", expected="rows of RewardBench")
    rows = tuple(_benchmark_row(location, raw) for location, raw in raw_rows)
    found = _version_of(rows[0], raw_rows[0][1])
    if version is not None and version != found:
        raise LoadError(
            f"{locations[0]} is in the form of RewardBench {found}",
            expected=f"RewardBench {version}",
            remedy=f"leave out --version, or say --version {found}",
        )
    for row, (location, raw) in zip(rows, raw_rows, strict=True):
        if _version_of(row, raw) != found:
            raise _unusable(location, raw, f"it is not in the form of RewardBench {found} as the first row is")
    return BenchmarkSet(found, ", ".join(locations), digest.hexdigest(), rows)


def _benchmark_row(location: str, raw: RawRow) -> BenchmarkRow:
    row = raw.row
    if row is None:
        raise _unusable(location, raw, raw.problem)
    missing = [name for name in ("prompt", "chosen", "rejected") if name not in row]
    if missing:
        raise _unusable(location, raw, f"it has no column {missing[0]!r}")
    try:
        return BenchmarkRow(
            id=str(row.get("id", raw.number)),
            subset=subset_of(row, "subset"),
            prompt=_benchmark_prompt(row["prompt"]),
            right=_texts(row["chosen"]),
            wrong=_texts(row["rejected"]),
            columns=row,
        )
    except Dropped as verdict:
        raise _unusable(location, raw, verdict.reason) from verdict


def _benchmark_prompt(value: Any) -> Prompt:
    return turns_of(value) if isinstance(value, list) else (Turn("user", checked_text(value)),)


def _texts(side: Any) -> tuple[str, ...]:
    answers = side if isinstance(side, list) else [side]
    if not answers:
        raise Dropped(EMPTY_SIDE)
    return tuple(checked_text(answer) for answer in answers)


def _version_of(row: BenchmarkRow, raw: RawRow) -> BenchmarkVersion:
    has_lists = isinstance((raw.row or {}).get("chosen"), list)
    return 2 if has_lists or len(row.answers) != 2 else 1


def _unusable(location: str, raw: RawRow, reason: str) -> LoadError:
    return LoadError(
        f"row {raw.number} of {location} cannot be used: {reason}",
        expected="the columns prompt, chosen, rejected, subset and id of RewardBench, in every row",
        remedy="correct the row: a benchmark with rows left out is another benchmark",
    )


# ------------------------------------------------------------------------------------------------------ others' figures


@dataclass(frozen=True, slots=True)
class PublishedScores:
    """A model's score by subset, as files of the official tool give them. `content_hash` is of the files."""

    model: str
    by_subset: Mapping[str, float]
    location: str
    content_hash: str


def load_published_scores(paths: Sequence[Path]) -> PublishedScores:
    """Read scores by subset: the metadata that the official command writes, or files of its results on the hub.

    Several files are put together, for example a model's benchmark and its prior sets. A file in which a score is above
    1 is one of percentages, as tables give them.

    Raises:
        LoadError: a file cannot be read, has scores that are neither shares nor percentages, or is of another model.
    """
    models, by_subset, digest = [], dict[str, float](), hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes()
            fields = json.loads(content)
        except (OSError, ValueError) as error:
            raise LoadError(f"{path} cannot be read as JSON: {error}", remedy="name a file of scores") from error
        scores = _scores_by_subset(fields) if isinstance(fields, dict) else {}
        if not scores:
            raise LoadError(
                f"{path} has no scores by subset",
                expected="a JSON object with 'extra_results', or with a score for each subset",
                remedy="name the metadata that the official tool wrote, or a file of its results",
            )
        if max(scores.values()) > LARGEST_SCORE:
            scores = {name: score / 100 for name, score in scores.items()}
        wrong = [name for name, score in scores.items() if not 0 <= score <= LARGEST_SCORE]
        if wrong:
            raise LoadError(
                f"{path} has the score {scores[wrong[0]]:g} for {wrong[0]}",
                expected="shares between 0 and 1, or percentages between 0 and 100",
            )
        models.append(str(fields.get("model", path.stem)))
        by_subset |= scores
        digest.update(content)
    if len(set(models)) > 1:
        raise LoadError(f"the files are of different models: {', '.join(models)}", expected="files of one model")
    return PublishedScores(models[0], by_subset, ", ".join(map(str, paths)), digest.hexdigest())


def _scores_by_subset(fields: Mapping[str, Any]) -> dict[str, float]:
    found = fields.get("extra_results") or {name: fields[name] for name in fields if name not in NO_SUBSETS}
    return {
        str(name): float(score)
        for name, score in (found.items() if isinstance(found, Mapping) else ())
        if isinstance(score, int | float) and not isinstance(score, bool)
    }
