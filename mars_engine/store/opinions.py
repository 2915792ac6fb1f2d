"""What judges say of the labels of source pairs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from mars_engine.core.judge_records import LabelOpinion
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

_OPINIONS = select(*record_columns(LabelOpinion, schema.label_opinions))


@dataclass(frozen=True, slots=True)
class OpinionStore:
    """What judges say of the labels of source pairs: one opinion of each judge on each pair."""

    database: Database

    def keep(self, opinions: Sequence[LabelOpinion]) -> None:
        """Store opinions in one transaction; a judge's new opinion on a pair takes the place of its earlier one."""
        with self.database.write() as connection:
            insert_or_replace(connection, schema.label_opinions, [record_values(each) for each in opinions])
            note_change(connection, "opinions")

    def of_judge(self, judge: str) -> dict[str, LabelOpinion]:
        """A judge's opinions, by pair id."""
        with self.database.read() as connection:
            found = records(connection, LabelOpinion, _OPINIONS.where(schema.label_opinions.c.judge == judge))
        return {each.pair_id: each for each in found}

    def on_pairs(self, pair_ids: Collection[str]) -> dict[str, list[LabelOpinion]]:
        """All judges' opinions on some pairs, by pair id, the judges by name; pairs without any are left out."""
        stored = schema.label_opinions.c
        by_pair: dict[str, list[LabelOpinion]] = {}
        with self.database.read() as connection:
            for group in id_groups(pair_ids):
                statement = _OPINIONS.where(stored.pair_id.in_(group)).order_by(stored.judge)
                for each in records(connection, LabelOpinion, statement):
                    by_pair.setdefault(each.pair_id, []).append(each)
        return by_pair

    def judges(self) -> list[str]:
        """The judges that have said something, by name."""
        judge = schema.label_opinions.c.judge
        with self.database.read() as connection:
            return list(connection.execute(select(judge).distinct().order_by(judge)).scalars())
