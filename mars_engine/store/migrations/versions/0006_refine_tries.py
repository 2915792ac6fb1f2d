"""The trail of refining has a table of its own, so that it is kept where no proposal came of it, texts included.

A migration keeps its own description of the tables: schema.py moves on, this file never changes. The trails that
proposals carried among their notes are copied; they had no texts.
"""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    tries = op.create_table(
        "refine_tries",
        sa.Column("settings_id", sa.Text, nullable=False),
        sa.Column("oriented_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("generator", sa.Text, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("distance", sa.Double),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["pairs.id"], name="fk_refine_tries_source_id"),
        sa.PrimaryKeyConstraint("settings_id", "oriented_id", "position", name="pk_refine_tries"),
    )
    op.create_index("ix_refine_tries_source_id", "refine_tries", ["source_id"])
    rows = list(_trails(op.get_bind()))
    if rows:
        op.bulk_insert(tries, rows)


def _trails(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    """Yield the tries that proposals tell of, those of a source once."""
    proposals = sa.table("proposals", *map(sa.column, ("settings_id", "oriented_id", "source_id", "generators")))
    wanted = sa.select(*proposals.c).where(proposals.c.generators.like('%"trail"%'))
    seen: set[tuple[str, str]] = set()
    for row in connection.execute(wanted):
        if (row.settings_id, row.oriented_id) in seen:
            continue
        seen.add((row.settings_id, row.oriented_id))
        notes = json.loads(row.generators).get("refine", {})
        for position, each in enumerate(notes.get("trail", [])):
            yield {
                "settings_id": row.settings_id,
                "oriented_id": row.oriented_id,
                "position": position,
                "source_id": row.source_id,
                "side": each["side"],
                "generator": f"{notes.get('name', '')} {notes.get('version', '')}".strip(),
                "text": None,
                "distance": each.get("distance"),
                "verdict": each["verdict"],
            }
