"""What the app needs: how an item was shown, sets of pairs, distances, progress of runs, and revisions.

A migration keeps its own description of the tables: schema.py moves on, this file never changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Moment = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.add_column("reviews", sa.Column("presented", sa.Text, nullable=False, server_default="open"))
    op.create_index("ix_reviews_annotator_item_kind_sequence", "reviews", ["annotator", "item_kind", "sequence"])
    for name, default in (("progress", "{}"), ("command", "[]"), ("log", "")):
        op.add_column("runs", sa.Column(name, sa.Text, nullable=False, server_default=default))
    op.create_table(
        "distances",
        sa.Column("encoder", sa.Text, nullable=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        sa.Column("distance", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.id"], name="fk_distances_pair_id"),
        sa.PrimaryKeyConstraint("encoder", "pair_id", name="pk_distances"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pair_sets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("annotator", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pair_sets"),
        sa.UniqueConstraint("ordinal", name="uq_pair_sets_ordinal"),
    )
    op.create_table(
        "pair_set_members",
        sa.Column("set_id", sa.Text, nullable=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["set_id"], ["pair_sets.id"], name="fk_pair_set_members_set_id"),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.id"], name="fk_pair_set_members_pair_id"),
        sa.PrimaryKeyConstraint("set_id", "pair_id", name="pk_pair_set_members"),
    )
    op.create_table(
        "revisions",
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_revisions"),
    )
    op.create_index("ix_pairs_facts", "pairs", ["ordinal", "id", "split", "dataset_id", "subset"])
    if op.get_bind().dialect.name == "sqlite":
        # Kept in the order of their primary key, so that all rows of one model lie together and need no look-up each.
        for name in ("scores", "triage", "plan_rows"):
            with op.batch_alter_table(name, recreate="always", table_kwargs={"sqlite_with_rowid": False}):
                pass
