"""Column types that give back exactly what was stored, on SQLite and on PostgreSQL alike."""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text, TypeDecorator

from mars_engine.core.records import Prompt, Turn

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC. SQLite has no such type: there it is ISO text of one width, which sorts by time."""

    impl = DateTime(timezone=True).with_variant(Text(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        moment = value.astimezone(UTC)
        return moment.isoformat(timespec="microseconds") if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if dialect.name == "sqlite" else value
        return moment.astimezone(UTC)


class JsonText(TypeDecorator[Any]):
    """Plain JSON in the words it was written in: the databases' own JSON types reorder keys or refuse NaN."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else _encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


class TupleText(JsonText):
    """A tuple of plain JSON values, as a JSON list."""

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[Any, ...] | None:
        return None if value is None else tuple(super().process_result_value(value, dialect))


class PromptText(JsonText):
    """A prompt, as a JSON list of {role, content}."""

    cache_ok = True

    def process_bind_param(self, value: Prompt | None, dialect: Dialect) -> str | None:
        turns = None if value is None else [{"role": turn.role, "content": turn.content} for turn in value]
        return super().process_bind_param(turns, dialect)

    def process_result_value(self, value: Any, dialect: Dialect) -> Prompt | None:
        turns = super().process_result_value(value, dialect)
        return None if turns is None else tuple(Turn(turn["role"], turn["content"]) for turn in turns)
