"""What transformers need: margins after each epoch of a training, and proposals without an information gain.

A migration keeps its own description of the tables: schema.py moves on, this file never changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "trajectories",
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        sa.Column("margin", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.id"], name="fk_trajectories_pair_id"),
        sa.PrimaryKeyConstraint("model_id", "epoch", "pair_id", name="pk_trajectories"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("proposals") as proposals:
        proposals.alter_column("information_gain", existing_type=sa.Double(), nullable=True)
