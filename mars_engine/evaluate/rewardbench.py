"""RewardBench: score a benchmark's answers by a reward model, and keep the figures and the official tool's files.

Rewards are kept group by group, so that work that was interrupted goes on where it stopped.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mars_engine.augment.workbench import Workbench
from mars_engine.core.clock import Clock
from mars_engine.core.errors import LoadError, ModelError
from mars_engine.core.records import (
    EvaluationKind,
    EvaluationRecord,
    FloatArray,
    Pair,
    Truncation,
    content_id,
)
from mars_engine.evaluate.benchmark_folder import BenchmarkFolder
from mars_engine.evaluate.benchmark_loader import BenchmarkRow, BenchmarkSet, BenchmarkVersion
from mars_engine.evaluate.rewardbench_scores import (
    PRIOR_SET_SUBSETS,
    PRIOR_SETS,
    PUBLISHED_ROWS,
    PUBLISHED_ROWS_V2,
    SECTIONS,
    TIES,
    BenchmarkScores,
    RatedAnswers,
    SubsetScore,
    aggregate_sections,
    aggregate_subsets,
    aggregate_subsets_v2,
    best_of_credit,
    score_best_of,
    score_pairwise,
    section_of,
)
from mars_engine.reward_models.answer_text import AnswerText
from mars_engine.reward_models.protocols import RewardModel
from mars_engine.store import Store

PAIRS_AT_ONCE = 256
"""Pairs that are scored, and whose rewards are kept, at a time."""

PUBLISHED = "published"
"""The setting of an evaluation whose figures come from a file, not from rewards."""
BY_SECTION = "by_section"
"""The setting of an evaluation whose file has the scores of the sections alone."""
PADDING_REPAIRED = "padding_repaired"
"""The setting of a model that padded with its end token and got a padding token of its own."""

KINDS: Mapping[int, EvaluationKind] = {1: "rewardbench", 2: "rewardbench2"}


def benchmark_id(benchmark: BenchmarkSet, model_id: str) -> str:
    """Return the id that the evaluation of a model on these rows has or would have."""
    return content_id(KINDS[benchmark.version], benchmark.content_hash, model_id)


def run_rewardbench(
    bench: Workbench,
    benchmark: BenchmarkSet,
    model: RewardModel,
    files: BenchmarkFolder,
    *,
    label: str,
    settings: Mapping[str, Any],
    text: AnswerText,
    again: bool = False,
) -> EvaluationRecord:
    """Score a benchmark by a reward model; store and write what it found.

    Where the same model was evaluated on the same rows before, that evaluation is returned.

    Args:
        bench: the workspace, where the evaluation is kept and its accuracy so far noted.
        benchmark: all its rows.
        model: the reward model.
        files: its files.
        label: the model's name.
        settings: plain JSON, how the model was asked; kept with the results.
        text: writes a dialogue as the model reads it, for the files.
        again: score anew, whatever is there.

    Raises:
        ModelError: a reward is not a finite number.
    """
    evaluation_id = benchmark_id(benchmark, model.id)
    present = bench.store.evaluations.get(evaluation_id)
    if present is not None and files.has_results() and not again:
        return present
    if again:
        files.forget_rewards()
    pairs = [pair for row in benchmark.rows for pair in _pairs_of(row)]
    rated = _rate(bench, benchmark, pairs, model, files)
    scores = score_rated(benchmark, rated)
    truncation = model.truncation(pairs, progress=bench.progress)
    files.write_results(
        label, output_rows(benchmark, rated, text), metadata_of(scores, label=label, template=text.template)
    )
    record = EvaluationRecord(
        id=evaluation_id,
        kind=KINDS[benchmark.version],
        model_id=model.id,
        label=label,
        settings={"source": benchmark.location, **settings},
        results=results_of(scores, truncation),
        artifact=files.artifact,
        created_at=bench.clock(),
    )
    bench.store.evaluations.add(record)
    files.forget_rewards()
    return record


def keep_published(
    by_subset: Mapping[str, float],
    store: Store,
    *,
    model: str,
    source: str,
    content_hash: str,
    clock: Clock,
    version: BenchmarkVersion | None = None,
) -> EvaluationRecord:
    """Store the figures that others published for a model, to stand beside ours.

    They are made of its scores by subset, or for version 1 by section, where the file has no others. How many rows
    were scored, tied or truncated is not known of them; each subset counts as whole.

    Raises:
        LoadError: no score is of that version of RewardBench, or the names do not tell which version they are of.
    """
    version = version or _version_of(by_subset, source)
    by_section = _scores_by_section(by_subset) if version == 1 else {}
    scores = aggregate_sections(by_section) if by_section else _published_scores(by_subset, source, version)
    record = EvaluationRecord(
        id=content_id("published", content_hash, model),
        kind=KINDS[scores.version],
        model_id="",
        label=model,
        settings={"source": source, PUBLISHED: True, **({BY_SECTION: True} if by_section else {})},
        results=results_of(scores, None),
        artifact="",
        created_at=clock(),
    )
    store.evaluations.add(record)
    return record


def _version_of(names: Iterable[str], source: str) -> BenchmarkVersion:
    """Return the version that names of subsets and sections are of. Both have a "Safety", so that tells nothing."""
    names = set(names)
    is_first = bool(names & {*PUBLISHED_ROWS, *PRIOR_SET_SUBSETS, *(SECTIONS.keys() - PUBLISHED_ROWS_V2.keys())})
    is_second = bool(names & (PUBLISHED_ROWS_V2.keys() - SECTIONS.keys()))
    if is_first != is_second:
        return 1 if is_first else 2
    if is_first or "Safety" in names:
        raise LoadError(
            f"the scores in {source} can be of RewardBench 1 or 2: {', '.join(sorted(names))}",
            remedy="say which with --version",
        )
    raise LoadError(
        f"{source} has no subset of RewardBench",
        expected=f"scores for {', '.join(PUBLISHED_ROWS)}, for the sections {', '.join(SECTIONS)}, or for version 2's "
        f"{', '.join(PUBLISHED_ROWS_V2)}",
    )


def _scores_by_section(found: Mapping[str, float]) -> dict[str, float]:
    """Return version 1's scores by section, where they are given so; empty where they are given by subset."""
    if any(name in PUBLISHED_ROWS for name in found):
        return {}
    sections = {name: found[name] for name in SECTIONS if name in found}
    prior = [score for name, score in found.items() if name.lower().startswith(PRIOR_SETS.lower())]
    prior = prior or [found[name] for name in PRIOR_SET_SUBSETS if name in found]
    return sections | ({PRIOR_SETS: float(np.mean(prior))} if prior else {}) if sections else {}


def _published_scores(by_subset: Mapping[str, float], source: str, version: BenchmarkVersion) -> BenchmarkScores:
    is_second = version == 2
    counts = PUBLISHED_ROWS_V2 if is_second else PUBLISHED_ROWS
    known = {*counts, *(() if is_second else PRIOR_SET_SUBSETS)}
    if not known.intersection(by_subset):
        raise LoadError(f"{source} has no subset of RewardBench {version}", expected=f"scores for {', '.join(counts)}")
    subsets = [
        SubsetScore(
            name=name,
            section=(name if is_second else section_of(name)) if name in known else "",
            rows=counts.get(name, 0),
            published_rows=counts.get(name, 0),
            ties=0,
            score=by_subset[name],
        )
        for name in [
            *(name for name in counts if name in by_subset),
            *(name for name in by_subset if name not in counts),
        ]
    ]
    aggregate = aggregate_subsets_v2 if is_second else aggregate_subsets
    return aggregate(subsets, accuracy=float("nan"))


# -------------------------------------------------------------------------------------------------------------- scoring


def _pairs_of(row: BenchmarkRow) -> list[Pair]:
    """Return a row's answers two by two, so that each is scored once; an odd last one is put beside itself.

    A reward model rates the sides of a pair each by itself, so it does not matter which two stand together.
    """
    answers = [*row.answers, row.answers[-1]]
    return [Pair.of(row.prompt, *answers[place : place + 2]) for place in range(0, len(row.answers), 2)]


def _rate(
    bench: Workbench, benchmark: BenchmarkSet, pairs: Sequence[Pair], model: RewardModel, files: BenchmarkFolder
) -> list[RatedAnswers]:
    """Return the rewards of all answers, row by row. Groups that were scored before are not scored again."""
    found: list[FloatArray] = []
    right = scored = 0
    with bench.progress.task("score RewardBench", len(pairs)) as task:
        for group, start in enumerate(range(0, len(pairs), PAIRS_AT_ONCE)):
            some = pairs[start : start + PAIRS_AT_ONCE]
            rewards = files.rewards(group)
            if rewards is None or len(rewards.chosen) != len(some):
                rewards = model.score(some, progress=bench.progress)
                files.save_rewards(group, rewards)
            found.append(np.column_stack([rewards.chosen, rewards.rejected]).ravel())
            task.advance(len(some))
            if benchmark.version == 1:
                right += int((rewards.margins > 0).sum())
                scored += len(some)
                bench.add_point("accuracy so far", scored, right / scored)
    rewards_in_turn = np.concatenate(found)
    _require_finite(rewards_in_turn)
    return list(_by_row(benchmark.rows, rewards_in_turn))


def _require_finite(rewards: FloatArray) -> None:
    broken = int((~np.isfinite(rewards)).sum())
    if broken:
        raise ModelError(
            f"{broken:,} of {len(rewards):,} rewards are not finite numbers",
            expected="a number for every answer",
            remedy="the model diverged in training or its weights are damaged; evaluate another one",
        )


def _by_row(rows: Sequence[BenchmarkRow], rewards: FloatArray) -> Iterator[RatedAnswers]:
    start = 0
    for row in rows:
        own = rewards[start : start + len(row.answers)]
        yield RatedAnswers(row.id, row.subset, own[: len(row.right)], own[len(row.right) :])
        start += len(row.answers) + len(row.answers) % 2


def score_rated(benchmark: BenchmarkSet, rated: Sequence[RatedAnswers]) -> BenchmarkScores:
    """Return the figures of a benchmark from the rewards of its rows."""
    if benchmark.version == 2:
        return score_best_of(rated)
    chosen, rejected = (np.array([side[0] for side in sides]) for sides in zip(*map(_sides, rated), strict=True))
    return score_pairwise([row.subset for row in rated], chosen, rejected)


def _sides(row: RatedAnswers) -> tuple[FloatArray, FloatArray]:
    return row.right, row.wrong


# -------------------------------------------------------------------------------------------------------------- results


def results_of(scores: BenchmarkScores, truncation: Truncation | None) -> dict[str, Any]:
    """Return the figures as plain JSON, as an evaluation keeps them; `scores_of` is the way back."""
    plain = {
        **dataclasses.asdict(scores),
        "accuracy": scores.accuracy if np.isfinite(scores.accuracy) else None,
        "truncation": dataclasses.asdict(truncation) if truncation else None,
    }
    return dict(json.loads(json.dumps(plain)))  # tuples become lists, as they are when it is read again


def scores_of(record: EvaluationRecord) -> BenchmarkScores:
    """Return the figures of a stored evaluation."""
    results = record.results
    if record.settings.get(BY_SECTION):
        return aggregate_sections(
            {each["name"]: each["score"] for each in results["sections"] if each["score"] is not None}
        )
    subsets = [SubsetScore(**each) for each in results["subsets"]]
    accuracy = float("nan") if results["accuracy"] is None else results["accuracy"]
    aggregate = aggregate_subsets if results["version"] == 1 else aggregate_subsets_v2
    return aggregate(subsets, accuracy=accuracy)


def is_published(record: EvaluationRecord) -> bool:
    """Whether the figures are others', from a file."""
    return bool(record.settings.get(PUBLISHED))


@dataclass(frozen=True, slots=True)
class BenchmarkedModel:
    """A stored evaluation as it is shown."""

    label: str
    scores: BenchmarkScores
    caveats: tuple[str, ...]
    is_published: bool
    """Whether the figures are others', from a file, so that rows and ties are not known."""

    @property
    def means(self) -> tuple[tuple[str, float | None], ...]:
        """The figures over all sections, by name."""
        overall = ("overall", self.scores.overall)
        return (
            (("four-section mean", self.scores.four_section_mean), overall) if self.scores.version == 1 else (overall,)
        )


def benchmarked_models(store: Store) -> dict[int, list[BenchmarkedModel]]:
    """Return all evaluations on RewardBench, by version, newest first; a label that several share says its id too."""
    found: dict[int, list[BenchmarkedModel]] = {}
    for version, kind in KINDS.items():
        records = store.evaluations.all(kind)
        uses = Counter(record.label for record in records)
        found[version] = [
            BenchmarkedModel(
                label=f"{record.label} ({record.id[:6]})" if uses[record.label] > 1 else record.label,
                scores=scores_of(record),
                caveats=tuple(caveats(record)),
                is_published=is_published(record),
            )
            for record in records
        ]
    return found


def caveats(record: EvaluationRecord) -> list[str]:
    """Say in whole sentences what keeps an evaluation's figures from being those that are published, and what to know
    of its rewards."""
    scores = scores_of(record)
    said = _said_of_sections(scores)
    if is_published(record):
        return [*said, "These figures come from a file, not from rewards."]
    if scores.ties:
        verdict = "each counts as a loss" if scores.version == 1 else "a tie for the best answer shares its point"
        said.append(f"{_rows(scores.ties)} of {scores.rows:,} ended in a tie; {verdict}.")
    truncation = truncation_of(record)
    if truncation and (truncation.contexts_cut or truncation.responses_cut):
        said.append(
            f"The length limit cut the beginning of {truncation.contexts_cut:,} and the answer of "
            f"{truncation.responses_cut:,} of {truncation.passages:,} texts."
        )
    if record.settings.get(PADDING_REPAIRED):
        said.append(
            "The checkpoint pads with its end token, or has none to pad with, so it was given a padding token of its "
            "own and is read at the last token. The official tool pads with the end token and reads a text that ends "
            "with it one token earlier; its figures can differ."
        )
    return said


def _said_of_sections(scores: BenchmarkScores) -> list[str]:
    said = []
    counted = [section for section in scores.sections if section.name != PRIOR_SETS]
    absent = [section.name for section in counted if section.score is None]
    if absent:
        said.append(f"There is no overall score: {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} absent.")
    said += [
        f"{section.name} is not whole: {', '.join(section.missing)} {'is' if len(section.missing) == 1 else 'are'} "
        "absent or not of the published size."
        for section in counted
        if section.score is not None and section.missing
    ]
    prior = next((section for section in scores.sections if section.name == PRIOR_SETS), None)
    if prior is not None and scores.overall is not None and prior.score is None:
        said.append("Prior sets are absent, so the overall score is that of the four sections alone.")
    if prior is not None and prior.score is not None and prior.missing:
        said.append(f"Prior sets are the mean of those present: {', '.join(prior.missing)} absent.")
    return said


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def score_in_percent(score: float | None) -> str:
    """Return a score, a share between 0 and 1, as it is published: in percent, with one place; a dash for none."""
    return "–" if score is None else f"{100 * score:.1f}"


def truncation_of(record: EvaluationRecord) -> Truncation | None:
    """Return what the length limit cut; None where it is not known, as of figures from a file."""
    found = record.results["truncation"]
    return Truncation(**found) if found else None


# ------------------------------------------------------------------------------------------- the official tool's files


def output_rows(benchmark: BenchmarkSet, rated: Sequence[RatedAnswers], text: AnswerText) -> Iterator[dict[str, Any]]:
    """Yield the rows of `*_outputs.jsonl`, with the official tool's columns in its order.

    Version 1: those of its command `rewardbench`. Version 2: those that its script run_v2.py writes for each prompt.
    """
    for row, rewards in zip(benchmark.rows, rated, strict=True):
        texts = [text(row.prompt, answer) for answer in row.answers]
        if benchmark.version == 1:
            yield {
                "prompt": text(row.prompt, None),
                "results": int(rewards.right[0] > rewards.wrong[0]),
                "scores_chosen": float(rewards.right[0]),
                "scores_rejected": float(rewards.wrong[0]),
                "text_chosen": texts[0],
                "text_rejected": texts[1],
                **{name: value for name, value in row.columns.items() if name != "prompt"},
            }
        else:
            is_tie = row.subset.lower() == TIES.lower()
            yield {
                "text": texts,
                "scores": [*rewards.right.tolist(), *rewards.wrong.tolist()],
                "results": None if is_tie else best_of_credit(rewards),
                "subset": row.subset,
                "id": row.id,
                "num_correct": len(row.right),
            }


def metadata_of(scores: BenchmarkScores, *, label: str, template: str) -> dict[str, Any]:
    """Return the metadata as the official tool writes them: version 1's command, or version 2's script."""
    by_subset = {subset.name: subset.score for subset in scores.subsets}
    if scores.version == 2:
        return {"chat_template": template, "model": label, "model_type": "Seq. Classifier", **by_subset}
    return {
        "accuracy": scores.accuracy,
        "num_prompts": scores.rows,
        "model": label,
        "ref_model": None,
        "tokenizer": label,
        "chat_template": template,
        "extra_results": by_subset,
    }
