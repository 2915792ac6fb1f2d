"""Requests to chat models and their answers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select

from mars_engine.core.chat_records import KeptAnswer, Spending
from mars_engine.store import schema
from mars_engine.store.database import Database
from mars_engine.store.statements import (
    id_groups,
    insert_or_replace,
    note_change,
    record_columns,
    record_values,
    records,
)

_ANSWERS = select(*record_columns(KeptAnswer, schema.chat_answers))


@dataclass(frozen=True, slots=True)
class ChatStore:
    """Requests to chat models and their answers. An answer is never changed; what failed may be answered later."""

    database: Database

    def newest(self, request_ids: Collection[str]) -> dict[str, KeptAnswer]:
        """What came of these requests when they were asked last, by id; those never asked are left out."""
        return {request_id: askings[-1] for request_id, askings in self.askings(request_ids).items()}

    def askings(self, request_ids: Collection[str]) -> dict[str, list[KeptAnswer]]:
        """All that came of these requests, by id, in the order in which each was asked; as `newest` else."""
        stored = schema.chat_answers.c
        found: dict[str, list[KeptAnswer]] = {}
        with self.database.read() as connection:
            for group in id_groups(request_ids):
                statement = _ANSWERS.where(stored.request_id.in_(group)).order_by(stored.asking)
                for each in records(connection, KeptAnswer, statement):
                    found.setdefault(each.request_id, []).append(each)
        return found

    def settled(self, request_ids: Collection[str]) -> set[str]:
        """Return those of the requests to chat models that would not be sent again, by what is stored of them."""
        stored = schema.chat_answers.c
        is_settled = or_(stored.answer.is_not(None), stored.retryable.is_(False))
        found: set[str] = set()
        with self.database.read() as connection:
            for group in id_groups(request_ids):
                statement = select(stored.request_id).where(stored.request_id.in_(group), is_settled)
                found.update(connection.execute(statement).scalars())
        return found

    def keep(self, answers: Sequence[KeptAnswer]) -> None:
        """Store answers in one transaction; one that came for a request that had failed takes that one's place."""
        with self.database.write() as connection:
            insert_or_replace(connection, schema.chat_answers, [record_values(answer) for answer in answers])
            note_change(connection, "chat")

    def keep_unless_settled(self, answers: Sequence[KeptAnswer]) -> set[tuple[str, int]]:
        """Store answers as `keep` does, but for requests that are settled by now: what others kept meanwhile stays.

        Returns the request's id and the asking of those that were stored.
        """
        stored = schema.chat_answers.c
        is_settled = or_(stored.answer.is_not(None), stored.retryable.is_(False))
        settled: set[tuple[str, int]] = set()
        with self.database.write() as connection:
            for group in id_groups([each.request_id for each in answers]):
                statement = select(stored.request_id, stored.asking).where(stored.request_id.in_(group), is_settled)
                settled.update((row.request_id, row.asking) for row in connection.execute(statement))
            fresh = [each for each in answers if (each.request_id, each.asking) not in settled]
            insert_or_replace(connection, schema.chat_answers, [record_values(each) for each in fresh])
            note_change(connection, "chat")
        return {(each.request_id, each.asking) for each in fresh}

    def all(self) -> list[KeptAnswer]:
        """Everything that was kept, the oldest first."""
        stored = schema.chat_answers.c
        with self.database.read() as connection:
            order = (stored.asked_at, stored.request_id, stored.asking)
            return records(connection, KeptAnswer, _ANSWERS.order_by(*order))

    def spent(self) -> Spending:
        """Requests sent, tokens and money, over all that was kept."""
        stored = schema.chat_answers.c
        tokens = stored.input_tokens + stored.output_tokens
        totals = [func.coalesce(func.sum(each), 0) for each in (stored.attempts, tokens, stored.cost)]
        with self.database.read() as connection:
            requests, tokens_spent, cost = connection.execute(select(*totals)).one()
        return Spending(int(requests), int(tokens_spent), float(cost))
