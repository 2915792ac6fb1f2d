"""Columns of many pairs at once, without their texts, and searches that give ids."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Select, Table, Text, case, exists, func, or_, select, type_coerce

from mars_engine.core.columns import (
    DistanceColumns,
    IdArray,
    LengthColumns,
    MarginColumns,
    PairColumns,
    PairRewards,
    PlanColumns,
    ProposalColumns,
    ReviewedItems,
    ReviewTally,
    RewardColumns,
    SourceRounds,
    TriageColumns,
)
from mars_engine.core.records import ModelRecord, Split
from mars_engine.core.review_records import ItemKind, ReviewAction
from mars_engine.core.review_state import undone_actions
from mars_engine.store import schema
from mars_engine.store.column_types import PromptText
from mars_engine.store.database import Database
from mars_engine.store.statements import first_record, record_columns

ROWS_AT_ONCE = 20_000
"""Rows that exist as Python objects at one time."""

_USUAL_FRAMES = tuple(f'{{"role":"{role}","content":"' for role in ("user", "assistant", "system"))
"""What stands before the text of a turn in the JSON of a prompt."""

WIDE_CACHE_KB = 48_000

_Maker = Callable[[Sequence[Any]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class BrowseStore:
    """Columns of many pairs at once, without their texts: what pages filter, count and draw by.

    A method is one reading of the database as it is then; nothing is cached.
    """

    database: Database

    def revisions(self) -> dict[str, int]:
        """How often each subject has changed: "pairs", "distances", "models", "scores", "triage", "plans",
        "proposals", "chat", "reviews", "opinions", "sets", "compositions", "evaluations", "trajectories", and
        "removals", how often rows of these were removed; a subject that never changed is left out."""
        with self.database.read() as connection:
            return {row.subject: row.number for row in connection.execute(select(schema.revisions))}

    def revision_of(self, *subjects: str) -> str:
        """Return what differs whenever one of these subjects has changed: a key for what is made of them."""
        revisions = self.revisions()
        return "-".join(str(revisions.get(subject, 0)) for subject in subjects)

    def pairs(self) -> PairColumns:
        """All pairs, in the order of their import."""
        stored = schema.pairs.c
        datasets, subsets = _Codes(), _Codes()
        # All of it stands in one index, so that no text is passed over on the way.
        statement = select(stored.id, stored.split, stored.dataset_id, stored.subset).order_by(stored.ordinal)
        ids, split, dataset, subset = self._columns(statement, _ids, _words, datasets, subsets)
        return PairColumns(
            ids=ids,
            split=split,
            dataset=dataset,
            dataset_ids=tuple(datasets.numbers),
            subset=subset,
            subsets=tuple(subsets.numbers),
        )

    def lengths(self, split: Split) -> LengthColumns:
        """Lengths of the answers of a split's pairs, in any order. Slow where they are many: their texts are read."""
        stored = schema.pairs.c
        statement = select(stored.id, func.length(stored.chosen), func.length(stored.rejected))
        statement = statement.where(stored.split == split)
        return LengthColumns(*self._columns(statement, _ids, _int32, _int32))

    def newest_scored_model(self) -> ModelRecord | None:
        """The newest model that has scored any pair."""
        return self._newest_model_with(schema.scores)

    def newest_triaged_model(self) -> ModelRecord | None:
        """The newest warm-up under which labels were triaged."""
        return self._newest_model_with(schema.triage)

    def _newest_model_with(self, rows: Table) -> ModelRecord | None:
        models = schema.reward_models.c
        has_rows = exists().where(rows.c.model_id == models.id)
        statement = select(*record_columns(ModelRecord, schema.reward_models)).where(has_rows)
        with self.database.read() as connection:
            return first_record(connection, ModelRecord, statement.order_by(models.ordinal.desc()))

    def margins(self, model_id: str) -> MarginColumns:
        """Score margins of the pairs that a model has scored, in any order, as all that follow here."""
        scores = schema.scores.c
        statement = select(scores.pair_id, scores.margin).where(scores.model_id == model_id)
        return MarginColumns(*self._columns(statement, _ids, _float32))

    def rewards(self, model_id: str, split: Split) -> RewardColumns:
        """Rewards of the pairs of a split that a model has scored."""
        scores = schema.scores.c
        statement = select(scores.pair_id, scores.chosen_reward, scores.rejected_reward)
        # Not a join: SQLite would go through all of the model's scores, however few pairs the split has.
        of_split = select(schema.pairs.c.id).where(schema.pairs.c.split == split)
        statement = statement.where(scores.model_id == model_id, scores.pair_id.in_(of_split))
        return RewardColumns(*self._columns(statement, _ids, _float64, _float64))

    def triage(self, model_id: str) -> TriageColumns:
        rows = schema.triage.c
        statement = select(rows.pair_id, rows.margin_mean, rows.margin_std, rows.verdict)
        statement = statement.where(rows.model_id == model_id)
        return TriageColumns(*self._columns(statement, _ids, _float32, _float32, _words))

    def distances(self, encoder: str) -> DistanceColumns:
        """Semantic distances that were stored under an encoder (its fingerprint)."""
        stored = schema.distances.c
        statement = select(stored.pair_id, stored.distance).where(stored.encoder == encoder)
        return DistanceColumns(*self._columns(statement, _ids, _float32))

    def distance_encoders(self) -> list[str]:
        """The encoders under which distances are stored, the one with the most first."""
        encoder = schema.distances.c.encoder
        statement = select(encoder).group_by(encoder).order_by(func.count().desc(), encoder)
        with self.database.read() as connection:
            return list(connection.execute(statement).scalars())

    def plan_rows(self, plan_id: str) -> PlanColumns:
        rows = schema.plan_rows.c
        statement = select(rows.pair_id, rows.budget, rows.distance, rows.gate).where(rows.plan_id == plan_id)
        return PlanColumns(*self._columns(statement, _ids, _int32, _float32, _words))

    def proposals(self) -> ProposalColumns:
        stored = schema.proposals.c
        return ProposalColumns(*self._columns(select(stored.id, stored.source_id), _ids, _ids))

    def newest_rounds(self) -> SourceRounds:
        """The newest round in which something was proposed, for each pair that has proposals."""
        stored, plans = schema.proposals.c, schema.plans.c
        statement = (
            select(stored.source_id, func.max(plans.round))
            .join(schema.plans, plans.id == stored.plan_id)
            .group_by(stored.source_id)
        )
        return SourceRounds(*self._columns(statement, _ids, _int32))

    def reviewed(self, *, after: int = 0) -> ReviewedItems:
        """What was reviewed since the review event with this number; with 0, ever."""
        reviews = schema.reviews.c
        statement = select(reviews.id, reviews.item_kind, reviews.item_id).where(reviews.id > after)
        items: dict[str, set[str]] = {"pair": set(), "proposal": set()}
        newest = after
        with self.database.read() as connection:
            for number, kind, item_id in connection.execute(statement):
                items[kind].add(item_id)
                newest = max(newest, number)
        return ReviewedItems(newest, frozenset(items["pair"]), frozenset(items["proposal"]))

    def review_tallies(self) -> list[ReviewTally]:
        """How many review events each annotator made of each kind, and how many of them were taken back, by name."""
        reviews = schema.reviews.c
        kind = (reviews.item_kind, reviews.annotator, reviews.action)
        statement = select(*kind, func.count(), func.sum(reviews.seconds)).group_by(*kind)
        with self.database.read() as connection:
            undone = _undone(connection)
            rows = connection.execute(statement.order_by(reviews.annotator, *kind)).all()
        return [
            ReviewTally(item_kind, name, action, events, seconds, undone[(item_kind, name, action)])
            for item_kind, name, action, events, seconds in rows
        ]

    def refinements(self) -> dict[str, int]:
        """How many sources had each outcome of refining: "not_needed", "refined_rejected", "refined_chosen" or
        "unrefined"; a source counts once under each generators' settings."""
        outcome = schema.proposal_sources.c.refinement
        statement = select(outcome, func.count()).group_by(outcome).order_by(outcome)
        with self.database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def prompt_ids(self, split: Split) -> IdArray:
        """The prompt ids of a split's pairs, in the order of their import."""
        stored = schema.pairs.c
        statement = select(stored.prompt_id).where(stored.split == split).order_by(stored.ordinal)
        (ids,) = self._columns(statement, _ids)
        return ids

    def matching(self, words: str) -> list[str]:
        """Ids of the pairs in whose prompt or answers the words occur, case aside, in the order of import.

        Letters beyond ASCII match as they are written, in lower, upper and title case.
        What a prompt's roles say is no text of the pair, and does not match.
        """
        stored = schema.pairs.c
        sqlite = self.database.engine.dialect.name == "sqlite"
        in_answers = or_(*(_contains(text, words, sqlite=sqlite) for text in (stored.chosen, stored.rejected)))
        # A prompt is stored as JSON, whose keys and roles may match too: where the answers do not, it is looked into.
        # The usual keys and roles are taken out first, or the word "user" would have every prompt looked into.
        prompt: ColumnElement[str] = type_coerce(stored.prompt, Text)
        wanted = words.lower()
        for frame in _USUAL_FRAMES:
            if wanted in frame:
                prompt = func.replace(prompt, frame, '{"":"')
        in_prompt = _contains(prompt, json.dumps(words, ensure_ascii=False)[1:-1], sqlite=sqlite)
        doubtful = type_coerce(case((in_answers, None), else_=type_coerce(stored.prompt, Text)), PromptText)
        statement = select(stored.id, doubtful).where(or_(in_answers, in_prompt))
        with self.database.read() as connection:
            return [
                pair_id
                for pair_id, prompt in connection.execute(statement.order_by(stored.ordinal))
                if prompt is None or any(wanted in turn.content.lower() for turn in prompt)
            ]

    def same_prompt(self, pair_id: str) -> list[str]:
        """Ids of the other pairs with the same prompt."""
        stored = schema.pairs
        prompt = select(stored.c.prompt_id).where(stored.c.id == pair_id).scalar_subquery()
        statement = select(stored.c.id).where(stored.c.prompt_id == prompt, stored.c.id != pair_id)
        with self.database.read() as connection:
            return list(connection.execute(statement.order_by(stored.c.ordinal)).scalars())

    def rewards_of(self, pair_id: str) -> list[PairRewards]:
        """A pair's rewards under each model that has scored it, the oldest model first."""
        scores, models = schema.scores.c, schema.reward_models.c
        statement = (
            select(models.id, models.label, scores.chosen_reward, scores.rejected_reward)
            .join(schema.scores, (scores.model_id == models.id) & (scores.pair_id == pair_id))
            .order_by(models.ordinal)
        )
        with self.database.read() as connection:
            return [PairRewards(*row) for row in connection.execute(statement)]

    def _columns(self, statement: Select[Any], *makers: _Maker) -> list[NDArray[Any]]:
        """Return the columns of a selection as arrays, few rows at a time, so that no list of all of them exists."""
        parts: list[list[NDArray[Any]]] = [[make(())] for make in makers]
        with self.database.read() as connection, _wide_cache(connection):
            # The driver's own tuples: these columns need no conversion, and SQLAlchemy's rows take as long again.
            cursor = connection.execute(statement).cursor
            while cursor is not None and (rows := cursor.fetchmany(ROWS_AT_ONCE)):
                for part, make, values in zip(parts, makers, zip(*rows, strict=True), strict=True):
                    part.append(make(values))
        return [np.concatenate(part) for part in parts]


@contextmanager
def _wide_cache(connection: Connection) -> Iterator[None]:
    """Lend SQLite memory while it looks up many rows through an index, which takes half the time so."""
    if connection.dialect.name != "sqlite":
        yield
        return
    before = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = {-WIDE_CACHE_KB}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {before}")
        connection.exec_driver_sql("PRAGMA shrink_memory")


def _ids(values: Sequence[str]) -> NDArray[Any]:
    return np.array(values, dtype="S24")


def _int32(values: Sequence[int]) -> NDArray[Any]:
    return np.array(values, dtype=np.int32)


def _float32(values: Sequence[float]) -> NDArray[Any]:
    return np.array(values, dtype=np.float32)


def _float64(values: Sequence[float]) -> NDArray[Any]:
    return np.array(values, dtype=np.float64)


LONGEST_WORD = len("indistinct")
"""Letters of the longest word in a column of words; numpy would cut longer ones off in silence."""


def _words(values: Sequence[str]) -> NDArray[Any]:
    return np.array(values, dtype=f"S{LONGEST_WORD}")


class _Codes:
    """Numbers different values in the order in which they come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, values: Sequence[str]) -> NDArray[Any]:
        numbers = self.numbers
        return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int32)


def _contains(column: ColumnElement[Any], words: str, *, sqlite: bool) -> ColumnElement[bool]:
    if not sqlite:
        return column.icontains(words, autoescape=True)
    # SQLite's plain LIKE takes upper and lower case in ASCII as the same, and is quicker than comparing lower().
    spellings = {words} if words.isascii() else {words, words.lower(), words.upper(), words.title()}
    return or_(*(column.contains(spelling, autoescape=True) for spelling in sorted(spellings)))


def _undone(connection: Connection) -> Counter[tuple[ItemKind, str, ReviewAction]]:
    """How many events were taken back, by kind, annotator and action. Only items with an undo are looked through."""
    reviews = schema.reviews.c
    others = schema.reviews.alias()
    same = (others.c.item_kind == reviews.item_kind, others.c.item_id == reviews.item_id)
    has_undo = exists().where(*same, others.c.annotator == reviews.annotator, others.c.action == "undo")
    whose = (reviews.item_kind, reviews.annotator, reviews.item_id)
    events = select(*whose, reviews.action).where(has_undo).order_by(*whose, reviews.sequence)
    counts: Counter[tuple[ItemKind, str, ReviewAction]] = Counter()
    for (kind, annotator, _), acts in groupby(connection.execute(events), key=lambda row: tuple(row[:3])):
        counts.update((kind, annotator, action) for action in undone_actions(row.action for row in acts))
    return counts
