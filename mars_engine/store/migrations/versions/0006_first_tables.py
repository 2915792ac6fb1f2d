"""The first tables.

A migration keeps its own description of the tables: schema.py moves on, this file never changes. Databases of 0001 to
0005 were made by versions that were never released, and are refused.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = None

Moment = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    _create_sources()
    _create_models()
    _create_plans()
    _create_proposals()
    _create_reviews()
    _create_compositions()
    _create_runs()
    _create_evaluations_and_revisions()


def _create_sources() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("split", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("imported_at", Moment, nullable=False),
        sa.Column("pair_count", sa.Integer, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("ordinal", name="uq_datasets_ordinal"),
    )
    op.create_table(
        "pairs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("dataset_id", sa.Text, nullable=False),
        sa.Column("dataset_row", sa.Integer, nullable=False),
        sa.Column("split", sa.Text, nullable=False),
        sa.Column("prompt_id", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("chosen", sa.Text, nullable=False),
        sa.Column("rejected", sa.Text, nullable=False),
        sa.Column("subset", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_pairs_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_pairs"),
        sa.UniqueConstraint("ordinal", name="uq_pairs_ordinal"),
    )
    op.create_index("ix_pairs_prompt_id", "pairs", ["prompt_id"])
    op.create_index("ix_pairs_split_ordinal", "pairs", ["split", "ordinal"])
    op.create_index("ix_pairs_facts", "pairs", ["ordinal", "id", "split", "dataset_id", "subset"])
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


def _create_models() -> None:
    op.create_table(
        "reward_models",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("artifact", sa.Text, nullable=False),
        sa.Column("composition_id", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reward_models"),
        sa.UniqueConstraint("ordinal", name="uq_reward_models_ordinal"),
    )
    op.create_table(
        "scores",
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        sa.Column("chosen_reward", sa.Double, nullable=False),
        sa.Column("rejected_reward", sa.Double, nullable=False),
        sa.Column("margin", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["reward_models.id"], name="fk_scores_model_id"),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.id"], name="fk_scores_pair_id"),
        sa.PrimaryKeyConstraint("model_id", "pair_id", name="pk_scores"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_scores_model_id_margin", "scores", ["model_id", "margin"])
    op.create_table(
        "triage",
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("margin_mean", sa.Double, nullable=False),
        sa.Column("margin_std", sa.Double, nullable=False),
        sa.Column("negative_share", sa.Double, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["reward_models.id"], name="fk_triage_model_id"),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.id"], name="fk_triage_pair_id"),
        sa.PrimaryKeyConstraint("model_id", "pair_id", name="pk_triage"),
        sqlite_with_rowid=False,
    )
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


def _create_plans() -> None:
    op.create_table(
        "plans",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("law", sa.Text, nullable=False),
        sa.Column("budget", sa.Integer, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["reward_models.id"], name="fk_plans_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
        sa.UniqueConstraint("ordinal", name="uq_plans_ordinal"),
    )
    op.create_table(
        "plan_rows",
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("margin", sa.Double, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("budget", sa.Integer, nullable=False),
        sa.Column("distance", sa.Double, nullable=False),
        sa.Column("gate", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.id"], name="fk_plan_rows_pair_id"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_plan_rows_plan_id"),
        sa.PrimaryKeyConstraint("plan_id", "pair_id", name="pk_plan_rows"),
        sqlite_with_rowid=False,
    )


def _create_proposals() -> None:
    op.create_table(
        "proposals",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("oriented_id", sa.Text, nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("settings_id", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("variant", sa.Integer, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("chosen", sa.Text, nullable=False),
        sa.Column("rejected", sa.Text, nullable=False),
        sa.Column("unchanged_sides", sa.Text, nullable=False),
        sa.Column("generators", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("distance_before", sa.Double, nullable=False),
        sa.Column("distance_after", sa.Double, nullable=False),
        sa.Column("margin_before", sa.Double, nullable=False),
        sa.Column("margin_after", sa.Double, nullable=False),
        sa.Column("information_gain", sa.Double),
        sa.Column("flags", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["reward_models.id"], name="fk_proposals_model_id"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_proposals_plan_id"),
        sa.ForeignKeyConstraint(["source_id"], ["pairs.id"], name="fk_proposals_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_proposals"),
    )
    op.create_index("ix_proposals_settings_id", "proposals", ["settings_id"])
    op.create_index("ix_proposals_source_id", "proposals", ["source_id"])
    op.create_table(
        "proposal_sources",
        sa.Column("settings_id", sa.Text, nullable=False),
        sa.Column("oriented_id", sa.Text, nullable=False),
        sa.Column("refinement", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("settings_id", "oriented_id", name="pk_proposal_sources"),
    )
    op.create_table(
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
    op.create_table(
        "proposal_failures",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("settings_id", sa.Text, nullable=False),
        sa.Column("generator", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("retryable", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["pairs.id"], name="fk_proposal_failures_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_proposal_failures"),
    )
    op.create_index("ix_proposal_failures_settings_id_source_id", "proposal_failures", ["settings_id", "source_id"])
    op.create_table(
        "chat_answers",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("asking", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("server", sa.Text, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("prompt_hash", sa.Text, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("finish_reason", sa.Text, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("retryable", sa.Boolean, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "asking", name="pk_chat_answers"),
    )


def _create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("item_kind", sa.Text, nullable=False),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("annotator", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("edited_prompt", sa.Text),
        sa.Column("edited_chosen", sa.Text),
        sa.Column("edited_rejected", sa.Text),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("presented", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.UniqueConstraint(
            "item_kind", "item_id", "annotator", "sequence", name="uq_reviews_item_kind_item_id_annotator_sequence"
        ),
    )
    op.create_index("ix_reviews_annotator_item_kind_sequence", "reviews", ["annotator", "item_kind", "sequence"])
    op.create_table(
        "leases",
        sa.Column("item_kind", sa.Text, nullable=False),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("annotator", sa.Text, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("item_kind", "item_id", "annotator", name="pk_leases"),
    )
    op.create_index("ix_leases_expires_at", "leases", ["expires_at"])


def _create_compositions() -> None:
    op.create_table(
        "compositions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_compositions_plan_id"),
        sa.PrimaryKeyConstraint("id", name="pk_compositions"),
        sa.UniqueConstraint("ordinal", name="uq_compositions_ordinal"),
    )
    op.create_table(
        "composed_pairs",
        sa.Column("composition_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("pair_id", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("chosen", sa.Text, nullable=False),
        sa.Column("rejected", sa.Text, nullable=False),
        sa.Column("subset", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("distance", sa.Double, nullable=False),
        sa.Column("margin", sa.Double, nullable=False),
        sa.Column("chosen_from", sa.Text, nullable=False),
        sa.Column("rejected_from", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["composition_id"], ["compositions.id"], name="fk_composed_pairs_composition_id"),
        sa.ForeignKeyConstraint(["source_id"], ["pairs.id"], name="fk_composed_pairs_source_id"),
        sa.PrimaryKeyConstraint("composition_id", "position", name="pk_composed_pairs"),
    )
    op.create_index("ix_composed_pairs_pair_id", "composed_pairs", ["pair_id"])


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("process_id", sa.BigInteger, nullable=False),
        sa.Column("process_started", sa.Double, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("heartbeat_at", Moment, nullable=False),
        sa.Column("ended_at", Moment),
        sa.Column("progress", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("log", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("ordinal", name="uq_runs_ordinal"),
    )
    op.create_table(
        "run_points",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("step", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("value", sa.Double),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_points_run_id"),
        sa.PrimaryKeyConstraint("run_id", "metric", "step", name="pk_run_points"),
    )


def _create_evaluations_and_revisions() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("results", sa.Text, nullable=False),
        sa.Column("artifact", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
        sa.UniqueConstraint("ordinal", name="uq_evaluations_ordinal"),
    )
    op.create_table(
        "revisions",
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_revisions"),
    )
