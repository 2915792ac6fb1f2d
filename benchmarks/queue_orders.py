"""Does the order in which proposals are reviewed matter? A simulated reviewer reads those for real pairs in each order.

    OMP_NUM_THREADS=1 python -m benchmarks.queue_orders ../shared/data WORK [SEEDS [SET]]

For each set and seed: draw base and held-out pairs by prompt, warm up, plan, propose with the packaged generators, and
let a reviewer read the queue in each order. Reviewer "gates" accepts what passes every quality gate, reviewer "oracle"
what a probe that was fitted on all pairs of the set, held-out ones too, ranks the right way round. After equal numbers
of accepted proposals the probe is fitted again on the base pairs with (a) the accepted pairs alone, and (b) all pairs
that the grids compose of what is accepted. WORK keeps embeddings and the results of finished seeds, so that a second
run is quick.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path

import click
import numpy as np
from scipy import stats

from mars_engine.augment.compose import build_grid, usable_cells
from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.workbench import Workbench
from mars_engine.core.config import EncoderConfig, GateConfig, MarsConfig, ProposeConfig, TriageConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import FloatArray, IntArray, Pair, Passage, Proposal, Split
from mars_engine.core.review_records import ReviewEvent
from mars_engine.core.review_state import ProposalState
from mars_engine.curate.deck_cache import DeckCache
from mars_engine.curate.live import LiveProbe
from mars_engine.curate.reading import Reading
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.data.pair_index import PairIndexCache
from mars_engine.experiments.draws import DatasetPairs, Draw, DrawnPairs, draw_pairs, read_pairs
from mars_engine.experiments.plan import DatasetPlan
from mars_engine.reward_models.curvature import fisher_weights
from mars_engine.reward_models.probe import ProbeTrainer
from mars_engine.reward_models.score import score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.stats.crossed_bootstrap import crossed_mean
from mars_engine.stats.intervals import Interval
from mars_engine.stats.metrics import correctness
from mars_engine.store import open_store
from mars_engine.workspace.workspace import CONFIG_FILE, create_workspace, find_workspace, open_workbench

BASE_PAIRS = {"hh-harmless": 300, "alpaca-pairs": 150}
REVIEWERS: Mapping[str, tuple[str, ...]] = {"hh-harmless": ("gates",), "alpaca-pairs": ("gates", "oracle")}
HELDOUT_PAIRS = 500
SEEDS = 10
ACCEPTED = (25, 50, 100, 200, 400)
RANDOM_QUEUES = 5
"""Chance is represented by the mean over so many random orders."""
READ_AT_ONCE = 10
"""Proposals that are read before the gain order is made anew."""
ORDERS = ("plan", "margin", "distance", "gain alone", "gain")
""""gain alone" is what each proposal adds to the base pairs alone; "gain" is the order that the app shows by it."""
CONFIG = MarsConfig(
    encoder=EncoderConfig(max_tokens=128),
    triage=TriageConfig(policy="keep"),
    propose=ProposeConfig(variants=3),
)
CONFIGS = {
    "hh-harmless": CONFIG,
    "alpaca-pairs": CONFIG.model_copy(update={"gate": GateConfig(rule="fixed", threshold=0.0)}),
}
"""The long answers of the alpaca pairs are not refined, which would take most of the time."""
SILENT = SilentProgress()
READER = "reader"
NONE = "no proposals"
HEADINGS = (
    "| order | accepted | read | pairs | accuracy less random (points) | log-loss less random | "
    "log-det less random (nats) |"
)

Queue = Sequence[str]
"""Ids of proposals in the order of reading."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What came of one queue under one seed, after each number of accepted proposals; shapes (numbers, …)."""

    read: IntArray
    """Proposals read until then; 0 where the queue has not so many that pass."""
    pairs: IntArray
    """Pairs that the grids compose of what is accepted."""
    right: FloatArray
    """Whether each held-out pair is ranked right, for (a) and (b), shape (numbers, 2, heldout)."""
    loss: FloatArray
    """−log σ(Δ) of each held-out pair, likewise."""
    log_determinant: FloatArray
    """Growth of the log-determinant of the curvature over the base pairs' in nats, for (a) and (b): shape (numbers, 2).

    At the margins of the warm-up and with its penalty, so that only the pairs make the difference.
    """


# ------------------------------------------------------------------------------------------------------------ one seed


@dataclass(frozen=True)
class Scene:
    """A workspace in memory with proposals that nobody has read."""

    bench: Workbench
    draw: Draw
    proposals: Mapping[str, Proposal]
    trainer: ProbeTrainer
    vectors: Mapping[str, FloatArray]
    """Embedding of each text of the base pairs, proposals and held-out pairs."""
    oracle: Callable[[], FloatArray]
    """Returns the weight vector of the probe that knows all pairs of the set."""

    def accepted_by(self, reviewer: str) -> frozenset[str]:
        """Ids of the proposals that a reviewer accepts."""
        proposals = list(self.proposals.values())
        if reviewer == "gates":
            return frozenset(each.id for each in proposals if not each.flags)
        margins = self.differences([each.as_pair() for each in proposals]) @ self.oracle()
        return frozenset(each.id for each, margin in zip(proposals, margins.tolist(), strict=True) if margin > 0)

    def differences(self, pairs: Sequence[Pair]) -> FloatArray:
        return np.array([self.vectors[pair.chosen] - self.vectors[pair.rejected] for pair in pairs])

    @cached_property
    def base(self) -> FloatArray:
        return self.differences(self.draw.base)

    @cached_property
    def heldout(self) -> FloatArray:
        return self.differences(self.draw.heldout)

    @cached_property
    def warm_up(self) -> FloatArray:
        """Weight vector of the probe that is fitted on the base pairs alone."""
        ones = np.ones(len(self.base))
        return self.trainer.fit(self.base, ones, ones)

    def log_determinant(self, differences: FloatArray) -> float:
        """Of the curvature of the summed loss of some pairs, at the margins of the warm-up and with its penalty."""
        weights = fisher_weights(differences @ self.warm_up)
        penalty = self.trainer.ridge(np.ones(len(self.base))) * np.eye(differences.shape[1])
        return float(np.linalg.slogdet((differences * weights[:, None]).T @ differences + penalty)[1])

    @cached_property
    def log_determinant_of_base(self) -> float:
        return self.log_determinant(self.base)


def make_scene(shared: Workbench, draw: Draw, oracle: Callable[[], FloatArray]) -> Scene:
    """Warm up, plan by the default settings, and propose."""
    bench = replace(shared, store=open_store("sqlite://"))
    parts: tuple[tuple[Split, tuple[Pair, ...]], ...] = (("train", draw.base), ("heldout", draw.heldout))
    for split, pairs in parts:
        import_pairs(DrawnPairs(split, pairs), bench.store, split=split, clock=bench.clock, progress=SILENT)
    model = train_warm_up(bench)
    score_model(bench, model)
    make_proposals(bench, make_plan(bench, model).plan)
    proposals = {each.id: each for each in bench.store.proposals.proposals()}
    known = [*draw.base, *draw.heldout, *(each.as_pair() for each in proposals.values())]
    texts = list(dict.fromkeys(text for pair in known for text in (pair.chosen, pair.rejected)))
    vectors = bench.encoder.encode([Passage(text) for text in texts], progress=SILENT).vectors.astype(np.float64)
    return Scene(bench, draw, proposals, probe_trainer_of(bench), dict(zip(texts, vectors, strict=True)), oracle)


def probe_trainer_of(bench: Workbench) -> ProbeTrainer:
    trainer = bench.probe_trainer
    assert isinstance(trainer, ProbeTrainer)  # noqa: S101 (what a workspace has)
    return trainer


def fit_oracle(shared: Workbench, pairs: Sequence[Pair]) -> FloatArray:
    """Return the weight vector of the probe fitted on all pairs of a set."""
    trainer, ones = probe_trainer_of(shared), np.ones(len(pairs))
    return trainer.fit(trainer.feature_differences(pairs, progress=SILENT), ones, ones)


def queues_of(scene: Scene, accepted: frozenset[str]) -> dict[str, Queue]:
    """Return the queues in every order, for a reviewer who accepts these proposals."""
    index = PairIndexCache(scene.bench.store).current()
    cache = DeckCache(scene.bench.store)

    def queue(order: str, annotator: str) -> Queue:
        reading = Reading("proposal", annotator, order, overlap_percent=0)
        return cache.outlook(index, CONFIG, reading, most=len(scene.proposals)).candidates

    queues = {order: queue(order, READER) for order in ("plan", "margin", "distance")}
    queues["gain alone"] = queue("gain", READER)
    queues |= {f"random {number}": queue("random", f"{READER} {number}") for number in range(RANDOM_QUEUES)}
    queues["gain"] = read_by_gain(scene, accepted, annotator=f"{READER} who accepts {len(accepted)}")
    return queues


def read_by_gain(scene: Scene, accepted: frozenset[str], *, annotator: str) -> Queue:
    """Read as the app deals by gain: the order is made anew after every few decisions, which are stored.

    They are taken back at the end: other orders and reviewers know nothing of them.
    """
    store = scene.bench.store
    probe = LiveProbe(store, scene.trainer, config=CONFIG, progress=SILENT)
    read: list[str] = []
    count = 0
    while count < max(ACCEPTED):
        order = probe.gain_order()
        some = [proposal_id.decode("ascii") for proposal_id in order.ids[:READ_AT_ONCE].tolist()]
        if not some:
            break
        now = scene.bench.clock()
        store.reviews.append(
            [
                ReviewEvent("proposal", each, "accept" if each in accepted else "reject", annotator, place, now)
                for place, each in enumerate(some, start=len(read) + 1)
            ]
        )
        read += some
        count += sum(each in accepted for each in some)
    undone = [ReviewEvent("proposal", each, "undo", annotator, len(read) + 1, scene.bench.clock()) for each in read]
    store.reviews.append(undone)
    return read


def measure(scene: Scene, queue: Queue, accepted_ids: frozenset[str]) -> Measured:
    """Fit the probe again after each number of accepted proposals."""
    numbers, heldout = len(ACCEPTED), len(scene.draw.heldout)
    found = Measured(
        np.zeros(numbers, dtype=np.int64),
        np.zeros(numbers, dtype=np.int64),
        np.full((numbers, 2, heldout), np.nan),
        np.full((numbers, 2, heldout), np.nan),
        np.full((numbers, 2), np.nan),
    )
    places = [place for place, each in enumerate(queue) if each in accepted_ids]
    for number, count in enumerate(ACCEPTED):
        if len(places) < count:
            break
        accepted = [scene.proposals[queue[place]] for place in places[:count]]
        composed = compose_all(scene, accepted)
        found.read[number], found.pairs[number] = places[count - 1] + 1, len(composed)
        for way, pairs in enumerate(([each.as_pair() for each in accepted], composed)):
            margins, grown = fit_again(scene, pairs)
            found.right[number, way], found.loss[number, way] = correctness(margins), np.logaddexp(0.0, -margins)
            found.log_determinant[number, way] = grown
    return found


def compose_all(scene: Scene, accepted: Sequence[Proposal]) -> list[Pair]:
    """Return all new pairs of the grids that these proposals approve, as composing would make them."""
    by_source: dict[str, list[Proposal]] = {}
    for proposal in accepted:
        by_source.setdefault(proposal.source_id, []).append(proposal)
    states = {each.id: ProposalState("accepted", each.prompt, each.chosen, each.rejected) for each in accepted}
    base = {pair.id: pair for pair in scene.draw.base}
    grids = [build_grid(source_id, base[source_id], some, states) for source_id, some in by_source.items()]
    return [pair for cells in usable_cells(scene.bench.store, grids, [], CONFIG) for pair in cells.values()]


def fit_again(scene: Scene, new_pairs: Sequence[Pair]) -> tuple[FloatArray, float]:
    """Return the held-out margins after a fit with new pairs, and how much they add to the log-determinant."""
    rows = np.vstack([scene.base, scene.differences(new_pairs)]) if new_pairs else scene.base
    ones = np.ones(len(rows))
    margins = scene.heldout @ scene.trainer.fit(rows, ones, ones)
    return margins, scene.log_determinant(rows) - scene.log_determinant_of_base


# ------------------------------------------------------------------------------------------------------------- results


def results_of(path: Path, scene: Callable[[], Scene], reviewer: str) -> dict[str, Measured]:
    """Return what came of each queue under a seed, and of no proposals at all; kept in the file."""
    fields = ("read", "pairs", "right", "loss", "log_determinant")
    if not path.is_file():
        made = scene()
        accepted = made.accepted_by(reviewer)
        queues = queues_of(made, accepted)
        found = {order: measure(made, queue, accepted) for order, queue in queues.items()} | {NONE: untouched(made)}
        arrays = {f"{order}/{field}": getattr(each, field) for order, each in found.items() for field in fields}
        np.savez(path, allow_pickle=False, **arrays)
        print(f"{path.stem}: {len(made.proposals):,} proposals, {len(accepted):,} would be accepted", flush=True)
    with np.load(path) as stored:
        orders = sorted({key.partition("/")[0] for key in stored.files})
        return {order: Measured(*(stored[f"{order}/{field}"] for field in fields)) for order in orders}


def untouched(scene: Scene) -> Measured:
    """What the base pairs alone give."""
    numbers = len(ACCEPTED)
    margins, _ = fit_again(scene, [])
    right, loss = (np.tile(each, (numbers, 2, 1)) for each in (correctness(margins), np.logaddexp(0.0, -margins)))
    nothing = np.zeros(numbers, dtype=np.int64)
    return Measured(nothing, nothing, right, loss, np.zeros((numbers, 2)))


def by_chance(results: Mapping[str, Measured]) -> Measured:
    """Return the mean over the random queues."""
    drawn = [results[f"random {number}"] for number in range(RANDOM_QUEUES)]
    mean: Callable[[str], FloatArray] = lambda name: np.mean([getattr(each, name) for each in drawn], axis=0)  # noqa: E731
    return Measured(*(mean(name) for name in ("read", "pairs", "right", "loss", "log_determinant")))  # type: ignore[arg-type]


def show(name: str, results: Sequence[Mapping[str, Measured]], prompts: Sequence[IntArray]) -> None:
    """Print tables of each order's difference to chance at equal numbers of accepted proposals."""
    chance = [by_chance(each) for each in results]
    for way, what in enumerate(("the accepted pairs alone", "all composed pairs")):
        print(f"\n**{name}, base pairs and {what}** ({len(results)} seeds)\n")
        print(HEADINGS)
        print("|---" * 7 + "|")
        for number, count in enumerate(ACCEPTED):
            usable = [place for place, each in enumerate(chance) if each.read[number] > 0]
            if len(usable) < len(results):
                print(f"| – | {count} | so many are accepted under {len(usable)} of the seeds | | | | |")
                continue
            level = np.concatenate([chance[place].right[number, way] for place in usable])
            loss = np.concatenate([chance[place].loss[number, way] for place in usable])
            read, pairs = (
                np.mean([getattr(chance[place], field)[number] for place in usable]) for field in ("read", "pairs")
            )
            grown = np.mean([chance[place].log_determinant[number, way] for place in usable])
            print(
                f"| random | {count} | {read:.0f} | {pairs if way else count:.0f} | ({level.mean():.3f}) | "
                f"({loss.mean():.4f}) | ({grown:.2f}) |"
            )
            for order in (*ORDERS, NONE):
                show_order(order, number, way, results, chance, prompts, usable)


def show_order(
    order: str,
    number: int,
    way: int,
    results: Sequence[Mapping[str, Measured]],
    chance: Sequence[Measured],
    prompts: Sequence[IntArray],
    usable: Sequence[int],
) -> None:
    own = [results[place][order] for place in usable]
    random = [chance[place] for place in usable]
    seeds = np.concatenate([np.full(len(prompts[place]), place) for place in usable])
    numbers = np.concatenate([prompts[place] for place in usable])

    def crossed(field: str) -> Interval:
        differences = [
            getattr(mine, field)[number, way] - getattr(other, field)[number, way]
            for mine, other in zip(own, random, strict=True)
        ]
        return crossed_mean(np.concatenate(differences), seeds, numbers, rng=np.random.default_rng(0))

    right, loss = crossed("right"), crossed("loss")
    grown = seed_interval(
        np.array(
            [
                mine.log_determinant[number, way] - other.log_determinant[number, way]
                for mine, other in zip(own, random, strict=True)
            ]
        )
    )
    pairs = np.mean([each.pairs[number] for each in own]) if way or order == NONE else ACCEPTED[number]
    print(
        f"| {order} | {ACCEPTED[number]} | {np.mean([each.read[number] for each in own]):.0f} | {pairs:.0f} | "
        f"{said(right, scale=100, digits=2)} | {said(loss, scale=1, digits=4)} | {said(grown, scale=1, digits=2)} |",
        flush=True,
    )


def seed_interval(values: FloatArray) -> Interval:
    """Return a mean over seeds with its 95% t interval."""
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half, 0.95)


def said(interval: Interval, *, scale: float, digits: int) -> str:
    """Return a difference with its interval, in bold where the interval misses 0."""
    numbers = (
        f"{scale * value:+.{digits}f}".replace("-", "−") for value in (interval.estimate, interval.low, interval.high)
    )
    estimate, low, high = numbers
    return f"**{estimate} ({low} to {high})**" if interval.excludes_zero else f"{estimate} ({low} to {high})"


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("work", type=click.Path(path_type=Path, file_okay=False))
@click.argument("seeds", type=click.IntRange(1), default=SEEDS)
@click.argument("sets", metavar="[SET]...", type=click.Choice(list(BASE_PAIRS)), nargs=-1)
def main(folder: Path, work: Path, seeds: int, sets: Sequence[str]) -> None:
    """Print all tables of these sets."""
    root = work / "workspace"
    workspace = find_workspace(root) if (root / CONFIG_FILE).is_file() else create_workspace(root, CONFIG)
    for name in sets or tuple(BASE_PAIRS):
        with open_workbench(replace(workspace, config=CONFIGS[name]), SILENT) as shared:
            paths = tuple(str(folder / f"{name}-{part}.jsonl.gz") for part in ("train", "test"))
            plan = DatasetPlan(name=name, paths=paths, base_pairs=BASE_PAIRS[name], heldout_pairs=HELDOUT_PAIRS)
            pairs = read_pairs([open_source(path) for path in paths])
            draws = [draw_pairs(DatasetPairs(pairs), plan, seed) for seed in range(seeds)]
            oracle = cache(partial(fit_oracle, shared, pairs))
            results: dict[str, list[dict[str, Measured]]] = {reviewer: [] for reviewer in REVIEWERS[name]}
            for seed, draw in enumerate(draws):
                scene = cache(partial(make_scene, shared, draw, oracle))
                for reviewer, found in results.items():
                    found.append(results_of(work / f"{name}-{reviewer}-{seed}.npz", scene, reviewer))
        for reviewer, found in results.items():
            show(f"{name}, reviewer: {reviewer}", found, [draw.heldout_prompts for draw in draws])


if __name__ == "__main__":
    main()
