"""Make a large workspace for measuring the app: texts resampled from real pairs, embeddings and rewards random.

    python -m benchmarks.large_workspace FOLDER --pairs 100000 --proposals 20000 [--data ../shared/data]

Prompts are numbered so that no two pairs are equal. Nothing in it means anything: it is there for its size.
"""

import gzip
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np

from mars_engine.augment.workbench import Workbench
from mars_engine.core.clock import utc_now
from mars_engine.core.config import MarsConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import (
    DatasetRecord,
    FloatArray,
    HiddenState,
    MapCluster,
    MapPoints,
    ModelRecord,
    Pair,
    Passage,
    Plan,
    PlanRow,
    Proposal,
    Rewards,
    TriageRow,
    Turn,
    content_id,
)
from mars_engine.embeddings.cache import SCHEMA, passage_key
from mars_engine.reward_models.feature_choice import FeatureChoice, choice_key
from mars_engine.reward_models.features import ProbeFeatures, TextStates
from mars_engine.reward_models.probe import Probe, ProbeTrainer
from mars_engine.workspace.workspace import Workspace, create_workspace, map_shelf, open_workbench

DIMENSION = 384
LAYERS = (3, 5)
"""As many as a choice takes at most, so that the probe is as wide as it gets."""
HELDOUT_EVERY = 20
"""One pair in twenty is held out."""

CLUSTERS = 12


def make_large_workspace(
    folder: Path, *, pairs: int, proposals: int, data: Path | None = None, seed: int = 0
) -> Workspace:
    """Make a workspace with so many pairs, scored, triaged, planned and mapped, and so many open proposals."""
    rng = np.random.default_rng(seed)
    workspace = create_workspace(folder)
    texts = list(_texts(data))
    with open_workbench(workspace, SilentProgress()) as bench:
        made = [_pair(number, texts, rng) for number in range(pairs)]
        heldout = np.arange(pairs) % HELDOUT_EVERY == 0
        for split, chosen in (("train", ~heldout), ("heldout", heldout)):
            kept = [(row, made[row]) for row in np.flatnonzero(chosen).tolist()]
            bench.store.pairs.add_dataset(_dataset(split, len(kept)), kept)
        model = _model(bench, rng)
        margins = rng.normal(0.4, 0.6, pairs)
        distances = np.clip(rng.beta(2, 5, pairs), 0.0, 1.0)
        ids = [pair.id for pair in made]
        bench.store.models.save_scores(model.id, ids, Rewards(margins, np.zeros(pairs)))
        bench.store.pairs.save_distances(bench.encoder.fingerprint, dict(zip(ids, distances.tolist(), strict=True)))
        training = np.flatnonzero(~heldout)
        bench.store.models.save_triage(model.id, [_triage(ids[row], margins[row], rng) for row in training.tolist()])
        plan = _plan(model, len(training))
        rows = [_plan_row(ids[row], margins[row], distances[row], len(training)) for row in training.tolist()]
        bench.store.proposals.add_plan(plan, rows)
        hardest = training[np.argsort(margins[training])][:proposals]
        written = [_proposal(made[row], plan, margins[row], distances[row], rng) for row in hardest.tolist()]
        bench.store.proposals.add_proposals("large", {pair.source_id: "not_needed" for pair in written}, written, [])
        _fill_cache(workspace, bench, texts, rng)
        _place(workspace, bench, np.array(ids, dtype="S24"), seed)
    return workspace


def _texts(data: Path | None) -> Iterator[str]:
    """Responses of real pairs where there are some, else of the demo pairs."""
    if data and data.is_dir():
        for path in sorted(data.glob("*-train.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    row = json.loads(line)
                    yield from (_text_of(row[side]) for side in ("chosen", "rejected"))
        return
    for line in (Path(__file__).resolve().parents[1] / "data" / "demo-train.jsonl").read_text().splitlines():
        row = json.loads(line)
        yield from (_text_of(row[side]) for side in ("chosen", "rejected"))


def _text_of(value: object) -> str:
    if isinstance(value, list):
        return str(value[-1]["content"])
    return str(value).rsplit("\n\nAssistant:", 1)[-1].strip() or "…"


def _pair(number: int, texts: list[str], rng: np.random.Generator) -> Pair:
    chosen, rejected, question = (texts[index] for index in rng.integers(len(texts), size=3))
    turns = (Turn("user", f"{number}: {question[:300]}"),)
    return Pair.of(turns, chosen, f"{rejected} " if rejected == chosen else rejected, subset=f"subset {number % 5}")


def _dataset(split: str, count: int) -> DatasetRecord:
    name = f"resampled-{split}"
    return DatasetRecord(name, name, "benchmark", "trl", split, name, utc_now(), count)  # type: ignore[arg-type]


def _model(bench: Workbench, rng: np.random.Generator) -> ModelRecord:
    trainer = bench.trainer
    assert isinstance(trainer, ProbeTrainer)  # noqa: S101 (what the workspace makes)
    width = DIMENSION * len(LAYERS)
    choice = FeatureChoice(
        features=ProbeFeatures(TextStates("response", "mean", LAYERS), np.ones(width)),
        l2=0.003,
        made_for=choice_key(trainer.config, trainer.encoder),
        made_of="resampled",
        reason="for measuring",
    )
    trainer.keeper.save(choice)
    probe = Probe("0" * 24, rng.standard_normal(width), 1.0, choice, trainer.encoder)
    record = ModelRecord(
        id=probe.id,
        kind=trainer.kind,
        label="warm-up",
        settings=trainer.settings,
        metrics={"training_pairs": 1, "includes_composed_pairs": False, "training_accuracy": 0.5},
        artifact=bench.shelf.save(probe),
        composition_id="",
        round=0,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    bench.store.models.add(record)
    return record


def _triage(pair_id: str, margin: float, rng: np.random.Generator) -> TriageRow:
    mean = float(margin + rng.normal(0, 0.2))
    verdict = "clear" if mean >= 0 else "suspected" if mean < -0.4 else "hard"
    return TriageRow(pair_id, mean, 0.1, 1.0 if mean < -0.4 else 0.4, verdict)  # type: ignore[arg-type]


def _plan(model: ModelRecord, training: int) -> Plan:
    config = MarsConfig()
    settings = {
        "law": "signed",
        **{name: getattr(config, name).model_dump() for name in ("allocation", "triage", "gate")},
    }
    summary = {"low_margin": training // 3, "needs_refining": training // 2, "suspects": training // 20}
    shares = {"suspects_share": 0.2, "suspects_share_spent": 0.0}
    return Plan("p" * 24, model.id, 1, "signed", 5 * training, settings, summary | shares, utc_now())


def _plan_row(pair_id: str, margin: float, distance: float, training: int) -> PlanRow:
    gate = "high" if distance >= 0.28 else "low"
    return PlanRow(pair_id, float(margin), 1.0 / training, 5, float(distance), gate)  # type: ignore[arg-type]


def _proposal(pair: Pair, plan: Plan, margin: float, distance: float, rng: np.random.Generator) -> Proposal:
    return Proposal(
        id=content_id("large", pair.id),
        source_id=pair.id,
        oriented_id=pair.id,
        plan_id=plan.id,
        model_id=plan.model_id,
        settings_id="large",
        method="paraphrase",
        variant=1,
        prompt=pair.prompt,
        chosen=_said_otherwise(pair.chosen),
        rejected=_said_at_length(pair.rejected),
        unchanged_sides=("prompt",),
        generators={"paraphraser": {"name": "resampled", "version": "1", "stand_in": True, "note": "for measuring"}},
        seed=0,
        distance_before=float(distance),
        distance_after=float(distance + rng.normal(0, 0.05)),
        margin_before=float(margin),
        margin_after=float(margin + rng.normal(0, 0.1)),
        information_gain=float(rng.random()),
        flags=() if rng.random() < 0.8 else ("fidelity: 0.70 is below 0.80",),
    )


def _said_otherwise(text: str) -> str:
    return f"In other words: {text}"


def _said_at_length(text: str) -> str:
    return f"{text} So to speak."


def _fill_cache(workspace: Workspace, bench: Workbench, texts: list[str], rng: np.random.Generator) -> None:
    """Random vectors for all responses, proposed ones too, so that nothing has to be encoded."""
    path = workspace.artifacts / "embeddings" / f"{bench.encoder.fingerprint}.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
        answers = {*texts, *(f"{text} " for text in texts)}
        different = sorted({*answers, *map(_said_otherwise, answers), *map(_said_at_length, answers)})
        vectors = _unit(rng.standard_normal((len(different), DIMENSION)))
        rows = [
            (passage_key(Passage(text)), vector.astype(np.float32).tobytes(), 0, 0)
            for text, vector in zip(different, vectors, strict=True)
        ]
        connection.executemany("INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?, ?)", rows)
        for layer in LAYERS:
            states = rng.standard_normal((len(different), DIMENSION)).astype(np.float16)
            connection.executemany(
                "INSERT OR IGNORE INTO hidden_states VALUES (?, ?, ?, 0, 0)",
                [
                    (passage_key(Passage(text)), HiddenState(layer).name, vector.tobytes())
                    for text, vector in zip(different, states, strict=True)
                ],
            )


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float64)


def _place(
    workspace: Workspace, bench: Workbench, ids: "np.ndarray[tuple[int], np.dtype[np.bytes_]]", seed: int
) -> None:
    """A map of random clusters, with random embeddings beside it."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-10, 10, (CLUSTERS, 2))
    cluster = rng.integers(CLUSTERS, size=len(ids))
    places = centres[cluster] + rng.normal(0, 0.9, (len(ids), 2))
    names = [
        MapCluster(number, float(x), float(y), int((cluster == number).sum()), ("word", f"no{number}"))
        for number, (x, y) in enumerate(centres)
    ]
    map_shelf(workspace).save(
        MapPoints(
            kind="difference",
            encoder=bench.encoder.fingerprint,
            fitted_on=len(ids),
            settings={},
            clusters=tuple(names),
            ids=ids,
            x=places[:, 0].astype(np.float32),
            y=places[:, 1].astype(np.float32),
            cluster=cluster.astype(np.int16),
            embeddings=rng.standard_normal((len(ids), DIMENSION), dtype=np.float32).astype(np.float16),
        ),
        None,  # type: ignore[arg-type]  # nothing is placed into it later
    )


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--pairs", type=click.IntRange(10), default=100_000, show_default=True)
@click.option("--proposals", type=click.IntRange(0), default=20_000, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="Folder with real pairs. [default: the demo pairs]")
def main(folder: Path, pairs: int, proposals: int, data: Path | None) -> None:
    make_large_workspace(folder, pairs=pairs, proposals=proposals, data=data)


if __name__ == "__main__":
    main()
