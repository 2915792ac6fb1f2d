"""The tables. A column that holds a record's field has the field's name.

`ordinal` counts the rows of a table in the order they were stored; it decides what is older where two moments are the
same. A reference that may be empty (a warm-up has no composition) is plain text without a foreign key.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from mars_engine.store.column_types import JsonText, PromptText, TupleText, UtcDateTime

REVISION = "0008"
"""The newest migration: the one after which the database has exactly these tables."""
FIRST_REVISION = "0006"
"""The first migration: databases of before were made by versions that were never released."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("split", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("imported_at", UtcDateTime, nullable=False),
    Column("pair_count", Integer, nullable=False),
    Column("report", JsonText, nullable=False),
)

pairs = Table(
    "pairs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("dataset_id", Text, ForeignKey("datasets.id"), nullable=False),
    Column("dataset_row", Integer, nullable=False),
    Column("split", Text, nullable=False),
    Column("prompt_id", Text, nullable=False, index=True),
    Column("prompt", PromptText, nullable=False),
    Column("chosen", Text, nullable=False),
    Column("rejected", Text, nullable=False),
    Column("subset", Text, nullable=False),
    Column("attributes", JsonText, nullable=False),
    Index(None, "split", "ordinal"),
    Index("ix_pairs_facts", "ordinal", "id", "split", "dataset_id", "subset"),
)
"""Source pairs, each under the dataset that brought it first."""

reward_models = Table(
    "reward_models",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("settings", JsonText, nullable=False),
    Column("metrics", JsonText, nullable=False),
    Column("artifact", Text, nullable=False),
    Column("composition_id", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

scores = Table(
    "scores",
    metadata,
    Column("model_id", Text, ForeignKey("reward_models.id"), primary_key=True),
    Column("pair_id", Text, ForeignKey("pairs.id"), primary_key=True),
    Column("chosen_reward", Double, nullable=False),
    Column("rejected_reward", Double, nullable=False),
    Column("margin", Double, nullable=False),
    Index(None, "model_id", "margin"),
    sqlite_with_rowid=False,
)

distances = Table(
    "distances",
    metadata,
    Column("encoder", Text, primary_key=True),
    Column("pair_id", Text, ForeignKey("pairs.id"), primary_key=True),
    Column("distance", Double, nullable=False),
    sqlite_with_rowid=False,
)
"""The semantic distance of a pair's two responses under an encoder, by the encoder's fingerprint."""

trajectories = Table(
    "trajectories",
    metadata,
    Column("model_id", Text, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("pair_id", Text, ForeignKey("pairs.id"), primary_key=True),
    Column("margin", Double, nullable=False),
    sqlite_with_rowid=False,
)
"""The margin of a base pair after an epoch of a model's training, while which the model is not among reward_models."""

triage = Table(
    "triage",
    metadata,
    Column("model_id", Text, ForeignKey("reward_models.id"), primary_key=True),
    Column("pair_id", Text, ForeignKey("pairs.id"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("margin_mean", Double, nullable=False),
    Column("margin_std", Double, nullable=False),
    Column("negative_share", Double, nullable=False),
    Column("verdict", Text, nullable=False),
    sqlite_with_rowid=False,
)

plans = Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("model_id", Text, ForeignKey("reward_models.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("law", Text, nullable=False),
    Column("budget", Integer, nullable=False),
    Column("settings", JsonText, nullable=False),
    Column("summary", JsonText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

plan_rows = Table(
    "plan_rows",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.id"), primary_key=True),
    Column("pair_id", Text, ForeignKey("pairs.id"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("margin", Double, nullable=False),
    Column("probability", Double, nullable=False),
    Column("budget", Integer, nullable=False),
    Column("distance", Double, nullable=False),
    Column("gate", Text, nullable=False),
    sqlite_with_rowid=False,
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source_id", Text, ForeignKey("pairs.id"), nullable=False, index=True),
    Column("oriented_id", Text, nullable=False),
    Column("plan_id", Text, ForeignKey("plans.id"), nullable=False),
    Column("model_id", Text, ForeignKey("reward_models.id"), nullable=False),
    Column("settings_id", Text, nullable=False, index=True),
    Column("method", Text, nullable=False),
    Column("variant", Integer, nullable=False),
    Column("prompt", PromptText, nullable=False),
    Column("chosen", Text, nullable=False),
    Column("rejected", Text, nullable=False),
    Column("unchanged_sides", TupleText, nullable=False),
    Column("generators", JsonText, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("distance_before", Double, nullable=False),
    Column("distance_after", Double, nullable=False),
    Column("margin_before", Double, nullable=False),
    Column("margin_after", Double, nullable=False),
    Column("information_gain", Double),
    Column("flags", TupleText, nullable=False),
)

proposal_sources = Table(
    "proposal_sources",
    metadata,
    Column("settings_id", Text, primary_key=True),
    Column("oriented_id", Text, primary_key=True),
    Column("refinement", Text, nullable=False),
)
"""The done marks: source pairs, as they were oriented, for which proposals were made under these settings.

A flipped pair is not among the source pairs, so `oriented_id` refers to nothing.
"""

refine_tries = Table(
    "refine_tries",
    metadata,
    Column("settings_id", Text, primary_key=True),
    Column("oriented_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("source_id", Text, ForeignKey("pairs.id"), nullable=False, index=True),
    Column("side", Text, nullable=False),
    Column("generator", Text, nullable=False),
    Column("text", Text),
    Column("distance", Double),
    Column("verdict", Text, nullable=False),
)
"""Rewrites that were tried to sharpen a pair's contrast, those of pairs that stayed unrefined too.

A try without a text is one for which none was offered.
"""

proposal_failures = Table(
    "proposal_failures",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("source_id", Text, ForeignKey("pairs.id"), nullable=False),
    Column("settings_id", Text, nullable=False),
    Column("generator", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("retryable", Boolean, nullable=False),
    Index(None, "settings_id", "source_id"),
)

chat_answers = Table(
    "chat_answers",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("asking", Integer, primary_key=True, autoincrement=False),
    Column("source_id", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("prompt_hash", Text, nullable=False),
    Column("messages", PromptText, nullable=False),
    Column("parameters", JsonText, nullable=False),
    Column("answer", Text),
    Column("finish_reason", Text, nullable=False),
    Column("failure", Text, nullable=False),
    Column("retryable", Boolean, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
)
"""Requests to chat models and their answers. A request's id comes from its content, so `source_id` is the first pair
that it was asked for; it refers to nothing, since a request can outlive its pair."""

reviews = Table(
    "reviews",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("item_kind", Text, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("edited_prompt", PromptText),
    Column("edited_chosen", Text),
    Column("edited_rejected", Text),
    Column("note", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("presented", Text, nullable=False),
    UniqueConstraint("item_kind", "item_id", "annotator", "sequence"),
    Index(None, "annotator", "item_kind", "sequence"),
)

label_opinions = Table(
    "label_opinions",
    metadata,
    Column("judge", Text, primary_key=True),
    Column("pair_id", Text, ForeignKey("pairs.id"), primary_key=True, index=True),
    Column("verdict", Text, nullable=False),
    Column("chosen_first", Text, nullable=False),
    Column("rejected_first", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("retryable", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)
"""What a judge says of a pair's label, in both orders and together."""

leases = Table(
    "leases",
    metadata,
    Column("item_kind", Text, primary_key=True),
    Column("item_id", Text, primary_key=True),
    Column("annotator", Text, primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

pair_sets = Table(
    "pair_sets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

pair_set_members = Table(
    "pair_set_members",
    metadata,
    Column("set_id", Text, ForeignKey("pair_sets.id"), primary_key=True),
    Column("pair_id", Text, ForeignKey("pairs.id"), primary_key=True),
)

compositions = Table(
    "compositions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("plan_id", Text, ForeignKey("plans.id"), nullable=False),
    Column("parent_id", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("settings", JsonText, nullable=False),
    Column("summary", JsonText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

composed_pairs = Table(
    "composed_pairs",
    metadata,
    Column("composition_id", Text, ForeignKey("compositions.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("pair_id", Text, nullable=False, index=True),
    Column("prompt", PromptText, nullable=False),
    Column("chosen", Text, nullable=False),
    Column("rejected", Text, nullable=False),
    Column("subset", Text, nullable=False),
    Column("attributes", JsonText, nullable=False),
    Column("source_id", Text, ForeignKey("pairs.id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("distance", Double, nullable=False),
    Column("margin", Double, nullable=False),
    Column("chosen_from", Text, nullable=False),
    Column("rejected_from", Text, nullable=False),
)
"""New pairs with texts of their own: they are no source pairs, so `pair_id` refers to nothing."""

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("settings", JsonText, nullable=False),
    Column("results", JsonText, nullable=False),
    Column("artifact", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
"""Benchmarks and experiments. `model_id` may name a model that is not the workspace's."""

comparisons = Table(
    "comparisons",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("first", Text, nullable=False),
    Column("second", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("left_out", JsonText, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

compared_answers = Table(
    "compared_answers",
    metadata,
    Column("comparison_id", Text, ForeignKey("comparisons.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("prompt", PromptText, nullable=False),
    Column("first", Text, nullable=False),
    Column("second", Text, nullable=False),
)

comparison_votes = Table(
    "comparison_votes",
    metadata,
    Column("comparison_id", Text, ForeignKey("comparisons.id"), primary_key=True),
    Column("annotator", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("vote", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
"""Events, never changed, about compared answers; `number` is -1 for what is about the comparison as a whole."""

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("settings", JsonText, nullable=False),
    Column("summary", JsonText, nullable=False),
    Column("error", Text, nullable=False),
    Column("process_id", BigInteger, nullable=False),
    Column("process_started", Double, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("heartbeat_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("progress", JsonText, nullable=False),
    Column("command", TupleText, nullable=False),
    Column("log", Text, nullable=False),
)

run_points = Table(
    "run_points",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Double),
)
"""`value` may be NULL, which is how SQLite keeps the NaN of a loss that diverged."""

revisions = Table(
    "revisions",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""How often what is stored of a subject has changed, so that a reader knows when to read again."""
