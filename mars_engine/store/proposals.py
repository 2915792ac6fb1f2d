"""Plans, proposals, and what generators could not do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, delete, func, select, update

from mars_engine.core.columns import ProposalFacts
from mars_engine.core.records import Plan, PlanRow, Proposal, ProposalFailure, RefineTry
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import (
    first_record,
    id_groups,
    insert_absent,
    insert_as_latest,
    insert_or_replace,
    insert_rows,
    note_change,
    record_columns,
    record_values,
    records,
)

ROWS_AT_ONCE = 20_000
"""Rows that exist as Python objects at one time."""

_FACT_TYPES: tuple[Any, ...] = ("S24", "S24", np.bool_, np.int32, np.float32, np.float32, np.float32, np.float32)
"""Of the columns of ProposalFacts."""

_PLANS = select(*record_columns(Plan, schema.plans))
_PROPOSAL = record_columns(Proposal, schema.proposals)
_TRY = record_columns(RefineTry, schema.refine_tries)


@dataclass(frozen=True, slots=True)
class ProposalStore:
    """Plans, proposals, and what generators could not do."""

    database: Database

    def add_plan(self, plan: Plan, rows: Sequence[PlanRow]) -> None:
        """Store a plan as the latest, in one transaction; one that is present keeps its rows and becomes the latest."""
        with self.database.write() as connection:
            if insert_as_latest(connection, schema.plans, record_values(plan)):
                positioned = [
                    {"plan_id": plan.id, "position": position, **record_values(row)}
                    for position, row in enumerate(rows)
                ]
                insert_rows(connection, schema.plan_rows, positioned)
            note_change(connection, "plans")

    def plan(self, plan_id: str) -> Plan | None:
        with self.database.read() as connection:
            return first_record(connection, Plan, _PLANS.where(schema.plans.c.id == plan_id))

    def latest_plan(self) -> Plan | None:
        with self.database.read() as connection:
            return first_record(connection, Plan, _PLANS.order_by(schema.plans.c.ordinal.desc()))

    def plan_rows(self, plan_id: str) -> list[PlanRow]:
        """The rows of a plan, in the order they were stored."""
        statement = select(*record_columns(PlanRow, schema.plan_rows)).where(schema.plan_rows.c.plan_id == plan_id)
        with self.database.read() as connection:
            return records(connection, PlanRow, statement.order_by(schema.plan_rows.c.position))

    def add_proposals(
        self,
        settings_id: str,
        refinements: Mapping[str, str],
        proposals: Sequence[Proposal],
        failures: Sequence[ProposalFailure],
        tries: Sequence[RefineTry] = (),
        *,
        tried: Collection[str] = (),
    ) -> None:
        """Store what came of some sources and mark them done, in one transaction.

        A source that is tried again has the outcome, the failures and the trail of its last try only, so doing the same
        twice adds nothing.

        Args:
            settings_id: digest of the generators and their settings.
            refinements: outcome by the done mark (oriented id and gate verdict) of every source that is done now:
                "not_needed", "refined_rejected", "refined_chosen", "unrefined" or "postponed".
            proposals: what was proposed; an id that is present changes nothing.
            failures: what could not be done.
            tried: ids of the sources; what could not be done for them before is forgotten.
            tries: the trails of the sources whose contrast was to be sharpened, whatever came of it.
        """
        done = [
            {"settings_id": settings_id, "oriented_id": oriented_id, "refinement": outcome}
            for oriented_id, outcome in refinements.items()
        ]
        with self.database.write() as connection:
            insert_absent(connection, schema.proposals, [record_values(proposal) for proposal in proposals])
            told_of = {*(proposal.source_id for proposal in proposals), *(failure.source_id for failure in failures)}
            _forget_failures(connection, settings_id, told_of.union(tried))
            insert_rows(connection, schema.proposal_failures, [record_values(failure) for failure in failures])
            _forget_trails(connection, settings_id, {each.oriented_id for each in tries})
            insert_rows(connection, schema.refine_tries, [record_values(each) for each in tries])
            insert_or_replace(connection, schema.proposal_sources, done)
            note_change(connection, "proposals")

    def refine_tries(self, source_ids: Collection[str]) -> list[RefineTry]:
        """The trails of these sources, a trail at a time, the tries of each in their order."""
        stored = schema.refine_tries.c
        found: list[RefineTry] = []
        with self.database.read() as connection:
            for group in id_groups(source_ids):
                found += records(connection, RefineTry, select(*_TRY).where(stored.source_id.in_(group)))
        return sorted(found, key=lambda each: (each.source_id, each.oriented_id, each.settings_id, each.position))

    def replace_verdicts(self, proposals: Sequence[Proposal]) -> None:
        """Give stored proposals the flags and the generators' notes of these, in one transaction; nothing else."""
        if not proposals:
            return
        stored = schema.proposals
        statement = update(stored).where(stored.c.id == bindparam("stored_id"))
        verdicts = [{"stored_id": each.id, "flags": each.flags, "generators": each.generators} for each in proposals]
        with self.database.write() as connection:
            connection.execute(statement, verdicts)
            note_change(connection, "proposals")

    def sources_done(self, settings_id: str) -> dict[str, str]:
        """Done marks of the sources done under these settings, with their refinement outcome."""
        sources = schema.proposal_sources.c
        statement = select(sources.oriented_id, sources.refinement).where(sources.settings_id == settings_id)
        with self.database.read() as connection:
            return {row.oriented_id: row.refinement for row in connection.execute(statement)}

    def proposals(self, *, source_ids: Collection[str] | None = None, settings_id: str | None = None) -> list[Proposal]:
        """Proposals, ordered by source in import order, then by variant, and by id where variants are the same."""
        statement = select(schema.pairs.c.ordinal, *_PROPOSAL).join_from(schema.proposals, schema.pairs)
        if settings_id is not None:
            statement = statement.where(schema.proposals.c.settings_id == settings_id)
        if source_ids is None:
            statements = [statement]
        else:
            statements = [statement.where(schema.proposals.c.source_id.in_(group)) for group in id_groups(source_ids)]
        with self.database.read() as connection:
            found = [
                (ordinal, Proposal(*values))
                for statement in statements
                for ordinal, *values in connection.execute(statement)
            ]
        found.sort(key=lambda item: (item[0], item[1].variant, item[1].id))
        return [proposal for _, proposal in found]

    def by_id(self, ids: Collection[str]) -> dict[str, Proposal]:
        """The proposals of `ids`, in their order; an id that is not stored is left out."""
        found: dict[str, Proposal] = {}
        with self.database.read() as connection:
            for group in id_groups(ids):
                statement = select(*_PROPOSAL).where(schema.proposals.c.id.in_(group))
                found.update((proposal.id, proposal) for proposal in records(connection, Proposal, statement))
        return {proposal_id: found[proposal_id] for proposal_id in ids if proposal_id in found}

    def present(self, ids: Collection[str]) -> set[str]:
        """Which of `ids` are stored."""
        stored = schema.proposals.c.id
        with self.database.read() as connection:
            groups = (connection.execute(select(stored).where(stored.in_(group))) for group in id_groups(ids))
            return {proposal_id for found in groups for proposal_id in found.scalars()}

    def facts(self, source_ids: Collection[str] | None = None) -> ProposalFacts:
        """The columns of proposals that the order of reading is made of, in any order."""
        stored = schema.proposals.c
        statement = select(
            stored.id,
            stored.source_id,
            stored.oriented_id != stored.source_id,
            stored.variant,
            stored.margin_before,
            stored.distance_before,
            stored.distance_after,
            stored.information_gain,
        )
        groups = [None] if source_ids is None else list(id_groups(source_ids))
        columns: list[list[Any]] = [[] for _ in fields(ProposalFacts)]
        with self.database.read() as connection:
            for group in groups:
                wanted = statement if group is None else statement.where(stored.source_id.in_(group))
                for rows in connection.execute(wanted).partitions(ROWS_AT_ONCE):
                    for column, kind, values in zip(columns, _FACT_TYPES, zip(*rows, strict=True), strict=True):
                        column.append(np.array(values, dtype=kind))
        empty = [np.array((), dtype=kind) for kind in _FACT_TYPES]
        return ProposalFacts(*(np.concatenate([none, *parts]) for none, parts in zip(empty, columns, strict=True)))

    def count_by_source(self) -> dict[str, int]:
        """How many proposals each source pair has, those without left out."""
        source = schema.proposals.c.source_id
        with self.database.read() as connection:
            return dict(connection.execute(select(source, func.count()).group_by(source)).all())

    def answers(self, ids: Collection[str]) -> dict[str, tuple[str, str]]:
        """Proposed chosen and rejected texts by proposal id."""
        stored = schema.proposals.c
        found: dict[str, tuple[str, str]] = {}
        with self.database.read() as connection:
            for group in id_groups(ids):
                statement = select(stored.id, stored.chosen, stored.rejected).where(stored.id.in_(group))
                found.update((row.id, (row.chosen, row.rejected)) for row in connection.execute(statement))
        return found

    def failures(self, settings_id: str | None = None) -> list[ProposalFailure]:
        """What could not be done, in the order it was stored."""
        statement = select(*record_columns(ProposalFailure, schema.proposal_failures))
        if settings_id is not None:
            statement = statement.where(schema.proposal_failures.c.settings_id == settings_id)
        with self.database.read() as connection:
            return records(connection, ProposalFailure, statement.order_by(schema.proposal_failures.c.id))


def _forget_failures(connection: Connection, settings_id: str, source_ids: Collection[str]) -> None:
    failures = schema.proposal_failures
    for group in id_groups(source_ids):
        connection.execute(
            delete(failures).where(failures.c.settings_id == settings_id, failures.c.source_id.in_(group))
        )


def _forget_trails(connection: Connection, settings_id: str, oriented_ids: Collection[str]) -> None:
    tries = schema.refine_tries
    for group in id_groups(oriented_ids):
        connection.execute(delete(tries).where(tries.c.settings_id == settings_id, tries.c.oriented_id.in_(group)))
