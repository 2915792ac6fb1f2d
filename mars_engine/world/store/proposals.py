"""Plans, proposals, and what generators could not do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from mars_engine.words.records import Plan, PlanRow, Proposal, ProposalFailure
from mars_engine.world.store import schema
from mars_engine.world.store.database import Database
from mars_engine.world.store.statements import (
    first_record,
    id_groups,
    insert_absent,
    insert_as_latest,
    insert_rows,
    note_change,
    record_columns,
    record_values,
    records,
)

_PLANS = select(*record_columns(Plan, schema.plans))
_PROPOSAL = record_columns(Proposal, schema.proposals)


@dataclass(frozen=True, slots=True)
class SqlProposalStore:
    """A ProposalStore on a database."""

    database: Database

    def add_plan(self, plan: Plan, rows: Sequence[PlanRow]) -> None:
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
        statement = select(*record_columns(PlanRow, schema.plan_rows)).where(schema.plan_rows.c.plan_id == plan_id)
        with self.database.read() as connection:
            return records(connection, PlanRow, statement.order_by(schema.plan_rows.c.position))

    def add_proposals(
        self,
        settings_id: str,
        refinements: Mapping[str, str],
        proposals: Sequence[Proposal],
        failures: Sequence[ProposalFailure],
    ) -> None:
        """Store what came of some sources and mark them done, in one transaction.

        A source that is tried again has the failures of its last try only, so doing the same twice adds nothing.
        """
        done = [
            {"settings_id": settings_id, "oriented_id": oriented_id, "refinement": outcome}
            for oriented_id, outcome in refinements.items()
        ]
        with self.database.write() as connection:
            insert_absent(connection, schema.proposals, [record_values(proposal) for proposal in proposals])
            tried = {*(proposal.source_id for proposal in proposals), *(failure.source_id for failure in failures)}
            _forget_failures(connection, settings_id, tried)
            insert_rows(connection, schema.proposal_failures, [record_values(failure) for failure in failures])
            insert_absent(connection, schema.proposal_sources, done)
            note_change(connection, "proposals")

    def sources_done(self, settings_id: str) -> dict[str, str]:
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
