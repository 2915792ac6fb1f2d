"""What judges say of the labels of source pairs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

Moment = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "label_opinions",
        sa.Column("judge", sa.Text, nullable=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("chosen_first", sa.Text, nullable=False),
        sa.Column("rejected_first", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("retryable", sa.Boolean, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.id"], name="fk_label_opinions_pair_id"),
        sa.PrimaryKeyConstraint("judge", "pair_id", name="pk_label_opinions"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_label_opinions_pair_id", "label_opinions", ["pair_id"])
