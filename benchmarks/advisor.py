"""Is the advisor right? Expected gains from training pairs, beside what each step really gains on held-out pairs.

    .venv/bin/python -m benchmarks.advisor measure ../shared/data WORK [--set demo] [--condition clean] [--draws 20]
    .venv/bin/python -m benchmarks.advisor tell WORK

For the demo pairs, HH-harmless and the alpaca pairs, with labels as they are and with a quarter of them flipped: draw
training pairs by prompt, ask the advisor, then do each step that fits into an hour and score it on the held-out pairs.
New labels come from pairs that were not drawn, as often flipped as the others. A check sets right what we flipped, and
on the demo pairs the labels that are marked as wrong; on the two other sets as they are nobody knows which labels are
wrong, so that no check is scored there. New pairs are made of the demo set's rewrites, and of the packaged rule-based
writer's for the other sets. What was measured is kept in WORK, a line a draw, and not measured again.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.stats import spearmanr

from benchmarks.label_flips import load_pairs
from benchmarks.probe_features import real_sets
from mars_engine.advise.advice import Step, best_first
from mars_engine.advise.estimates import Estimates
from mars_engine.advise.rows import Material, in_their_span
from mars_engine.advise.steps import COUNTS, StepMaker
from mars_engine.advise.trials import NewRows, OtherFeatures, TrialRows, repeats_for, run_trials
from mars_engine.advise.wrong_labels import estimate_wrong_labels
from mars_engine.augment.allocation import allocate_budget
from mars_engine.augment.composition import spread_cells
from mars_engine.augment.generators.protocols import ParaphraseRequest
from mars_engine.augment.generators.rule_paraphraser import RuleParaphraser
from mars_engine.augment.plan import spend
from mars_engine.core.config import AllocationLaw, EncoderConfig, MarsConfig
from mars_engine.core.progress import SilentProgress
from mars_engine.core.records import BoolArray, FloatArray, IntArray, Pair, TrainingSet
from mars_engine.embeddings.cache import CachedEncoder
from mars_engine.embeddings.sentence_encoder import SentenceEncoder
from mars_engine.reward_models.bradley_terry import fit_bradley_terry
from mars_engine.reward_models.feature_choice import Candidate, choose_features
from mars_engine.reward_models.features import TextStates, fit_scale
from mars_engine.reward_models.triage import assign_folds, judge_labels
from mars_engine.stats.metrics import pairwise_accuracy

CONFIG = MarsConfig()
PROGRESS = SilentProgress()
NEW_DEMO = "demo, new held out"
SETS = ("demo", NEW_DEMO, "hh-harmless", "alpaca-pairs")
FIRST_SEED = 200
"""Draws of lower seeds were looked at while the advisor was built."""
CONDITIONS = {"clean": 0.0, "flipped": 0.25}
DRAWN = {"demo": 240, NEW_DEMO: 240, "hh-harmless": 300, "alpaca-pairs": 300}
"""Training pairs of a draw, at most one prompt's more."""
MOST_IN_POOL = 1_000
VARIANTS = 2
HOUR = 60.0
WITHIN = 0.5
"""Points within which a first choice counts as the best."""
NEW_LABEL_DRAWS = 5
LAWS: tuple[AllocationLaw, ...] = ("signed", "uniform", "absolute")
OTHERS = 2
COMPARED = ("first", "check", "augment", "chance")
CHECK, LABEL, AUGMENT, STOP = "check", "label", "augment", "stop"


@dataclass(frozen=True, eq=False)
class Pool:
    """A set's pairs as features, labels as they are: what draws are made from."""

    name: str
    pairs: list[Pair]
    wrong: BoolArray
    """Marked as mislabelled."""
    own: FloatArray
    heldout: FloatArray
    new: FloatArray
    new_source: IntArray
    others: tuple[tuple[str, FloatArray, FloatArray, float], ...]
    """Name, differences of the pool and of the held-out pairs, penalty."""
    candidates: tuple[Candidate, ...]
    l2: float


# -------------------------------------------------------------------------------------------------------------- pools


def make_pool(name: str, folder: Path, work: Path, condition: str) -> Pool:
    """Read a set; features and penalty are chosen by its training pairs under the condition's labels."""
    encoder = CachedEncoder(SentenceEncoder(EncoderConfig()), work)
    found = next(each for each in real_sets(folder) if each.name == name.split(",", maxsplit=1)[0])
    if name == NEW_DEMO:
        heldout = [pair for part in ("heldA", "heldB") for pair in load_pairs(folder / "demo" / f"{part}.jsonl")]
        found = replace(found, heldout=heldout)
    pairs, wrong = found.train[:MOST_IN_POOL], found.mislabelled[:MOST_IN_POOL]
    flipped = np.random.default_rng(0).random(len(pairs)) < CONDITIONS[condition]
    shown = [pair.exchanged if flip else pair for pair, flip in zip(pairs, flipped, strict=True)]
    choice = choose_features(encoder, CONFIG.probe, TrainingSet.plain(shown), progress=PROGRESS)
    variants = demo_variants(pairs) if name.startswith("demo") else rule_variants(pairs)
    made, source = new_pairs(pairs, variants)
    read = choice.features.of
    candidates = [
        each
        for each in sorted(choice.candidates, key=lambda candidate: candidate.log_loss)
        if each.text != choice.features.text and each.text.reading == choice.features.text.reading
    ]
    best = list({each.text: each for each in reversed(candidates)}.values())[::-1][:OTHERS]
    return Pool(
        name,
        pairs,
        wrong,
        read(encoder, pairs, progress=PROGRESS).differences,
        read(encoder, found.heldout, progress=PROGRESS).differences,
        read(encoder, made, progress=PROGRESS).differences,
        source,
        tuple(_other(encoder, each, pairs, found.heldout) for each in best),
        tuple(best),
        choice.l2,
    )


def _other(
    encoder: CachedEncoder, candidate: Candidate, pairs: Sequence[Pair], heldout: Sequence[Pair]
) -> tuple[str, FloatArray, FloatArray, float]:
    def differences(text: TextStates, of: Sequence[Pair]) -> FloatArray:
        return text.of(encoder, of, progress=PROGRESS).differences

    raw, held = differences(candidate.text, pairs), differences(candidate.text, heldout)
    divisor = fit_scale(raw) * np.sqrt(raw.shape[1])
    return f"layers {list(candidate.text.layers)}", raw / divisor, held / divisor, candidate.l2


def demo_variants(pairs: Sequence[Pair]) -> list[tuple[list[str], list[str]]]:
    """Return each pair's paraphrases by the large language model, of its chosen and of its rejected answer."""
    path = Path(__file__).parent.parent / "data" / "demo-rewrites.jsonl"
    rows = {row["i"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    every = load_pairs(path.parent / "demo-train.jsonl")
    place = {pair.id: number for number, pair in enumerate(every)}
    return [(rows[place[pair.id]]["chosen_p"], rows[place[pair.id]]["rejected_p"]) for pair in pairs]


def rule_variants(pairs: Sequence[Pair]) -> list[tuple[list[str], list[str]]]:
    """Return each pair's paraphrases by the packaged rule-based writer."""
    texts = [text for pair in pairs for text in (pair.chosen, pair.rejected)]
    asked = [ParaphraseRequest(str(place), text, VARIANTS, seed=0) for place, text in enumerate(texts)]
    found = [list(each.candidates) for each in RuleParaphraser().paraphrase(asked)]
    return list(zip(found[0::2], found[1::2], strict=True))


def new_pairs(pairs: Sequence[Pair], variants: Sequence[tuple[list[str], list[str]]]) -> tuple[list[Pair], IntArray]:
    made: list[Pair] = []
    source: list[int] = []
    for place, (pair, (chosen, rejected)) in enumerate(zip(pairs, variants, strict=True)):
        better, worse = [pair.chosen, *chosen], [pair.rejected, *rejected]
        for first, second in spread_cells(len(chosen), len(rejected)):
            made.append(Pair.of(pair.prompt, better[first], worse[second]))
            source.append(place)
    return made, np.array(source, dtype=np.int64)


# --------------------------------------------------------------------------------------------------------------- draws


@dataclass(frozen=True, eq=False)
class Draw:
    """Training pairs drawn from a pool, with the labels of a condition, and the advisor's steps."""

    pool: Pool
    taken: IntArray
    rest: IntArray
    signs: FloatArray
    """Of all pairs of the pool: −1 where we flipped the label."""
    steps: tuple[Step, ...]
    order: IntArray
    """Places among those taken, the lowest out-of-fold margin first."""
    new: NewRows
    seconds: float

    def labels_right(self, places: IntArray) -> FloatArray:
        """Return which way round the labels of some pairs of the pool are, once somebody has set them right."""
        return np.where(self.pool.wrong[places], -1.0, 1.0)


def draw_and_advise(pool: Pool, condition: str, seed: int) -> Draw:
    rng = np.random.default_rng([seed, 16])
    prompts = [pair.prompt_id for pair in pool.pairs]
    names = rng.permutation(sorted(set(prompts)))
    sizes, chosen = Counter(prompts), set[str]()
    for name in names:
        if sum(sizes[each] for each in chosen) >= DRAWN[pool.name]:
            break
        chosen.add(name)
    is_taken = np.array([name in chosen for name in prompts])
    taken, rest = np.flatnonzero(is_taken), np.flatnonzero(~is_taken)
    signs = np.where(rng.random(len(prompts)) < CONDITIONS[condition], -1.0, 1.0)
    started = time.perf_counter()
    rows = TrialRows(
        in_their_span(pool.own[taken] * signs[taken, None]),
        np.ones(len(taken)),
        [prompts[place] for place in taken.tolist()],
        np.ones(len(taken), dtype=bool),
        pool.l2,
        CONFIG.triage.near_zero,
    )
    new = _new_rows(pool, taken, signs)
    others = tuple(
        OtherFeatures(name, in_their_span(own[taken] * signs[taken, None]), l2) for name, own, _, l2 in pool.others
    )
    trials = run_trials(
        rows, new=new, others=others, repeats=repeats_for(len(taken)), rng=np.random.default_rng(0), progress=PROGRESS
    )
    margins = trials.margins.mean(axis=0)
    estimates = Estimates(trials, rows.prompts, estimate_wrong_labels(margins), len(taken))
    examples = TrainingSet.plain([pool.pairs[place] for place in taken.tolist()])
    material = Material(rows, new, "accepted", len(new.source), others, pool.candidates, examples, len(taken))
    steps = best_first(StepMaker(material, estimates, 0.95, 30.0, "by default").all())
    seconds = time.perf_counter() - started
    known = tuple(each for each in steps if each.is_known and each.minutes <= HOUR)
    return Draw(pool, taken, rest, signs, known, np.argsort(margins), new, seconds)


def _new_rows(pool: Pool, taken: IntArray, signs: FloatArray) -> NewRows:
    place = np.full(len(pool.pairs), -1)
    place[taken] = np.arange(len(taken))
    mine = place[pool.new_source] >= 0
    source = place[pool.new_source[mine]]
    return NewRows(
        base=pool.own[taken] * signs[taken, None],
        differences=pool.new[mine] * signs[taken][source][:, None],
        confidence=np.ones(len(source)),
        source=source,
        eligible=np.ones(len(taken), dtype=bool),
        config=CONFIG.allocation,
        laws=LAWS,
    )


def real_gains(draw: Draw, rng: np.random.Generator) -> dict[str, float]:
    """Do each step, and return its gain on the held-out pairs, in points."""
    pool, taken = draw.pool, draw.taken
    x = pool.own[taken] * draw.signs[taken, None]

    def accuracy(rows: FloatArray, l2: float = pool.l2, held: FloatArray = pool.heldout) -> float:
        ones = np.ones(len(rows))
        return 100 * pairwise_accuracy(held @ fit_bradley_terry(rows, ones, ones, l2=l2))

    base = accuracy(x)
    gains: dict[str, float] = {}
    for step in draw.steps:
        if step.kind == CHECK:
            righted = x.copy()
            read = draw.order[: step.count]
            righted[read] = pool.own[taken[read]] * draw.labels_right(taken[read])[:, None]
            gains[step.name] = accuracy(righted) - base
        elif step.kind == LABEL and step.count <= len(draw.rest):
            found = []
            for _ in range(NEW_LABEL_DRAWS):
                more = rng.permutation(draw.rest)[: step.count]
                found.append(accuracy(np.vstack([x, pool.own[more] * draw.signs[more, None]])) - base)
            gains[step.name] = float(np.mean(found))
        elif step.kind == "leave out":
            gains[step.name] = accuracy(x[~_suspected(draw, x)]) - base
        elif step.kind == AUGMENT:
            law: AllocationLaw = next(each for each in LAWS if f"the {each} law" in step.name)
            gains[step.name] = accuracy(_augmented(draw, x, law)) - base
            gains["always augment"] = accuracy(_augmented(draw, x, CONFIG.allocation.law)) - base
        elif step.kind == "features":
            _, own, held, l2 = next(each for each in pool.others if step.name == f"read {each[0]}")
            gains[step.name] = accuracy(own[taken] * draw.signs[taken, None], l2, held) - base
        elif step.kind == STOP:
            gains[step.name] = 0.0
    return gains


def _suspected(draw: Draw, x: FloatArray) -> BoolArray:
    """Triage as a workspace does it."""
    prompts = [draw.pool.pairs[place].prompt_id for place in draw.taken.tolist()]
    margins = np.zeros((CONFIG.triage.seeds, len(x)))
    for margin, rng in zip(margins, np.random.default_rng(0).spawn(CONFIG.triage.seeds), strict=True):
        folds = assign_folds(prompts, CONFIG.triage.folds, rng)
        for fold in range(CONFIG.triage.folds):
            held = folds == fold
            ones = np.ones(int((~held).sum()))
            margin[held] = x[held] @ fit_bradley_terry(x[~held], ones, ones, l2=draw.pool.l2)
    return judge_labels(margins, near_zero=CONFIG.triage.near_zero).suspected


def _augmented(draw: Draw, x: FloatArray, law: AllocationLaw) -> FloatArray:
    ones, new = np.ones(len(x)), draw.new
    margins = x @ fit_bradley_terry(x, ones, ones, l2=draw.pool.l2)
    shares = spend(margins, CONFIG.allocation, law=law)
    capacity = np.bincount(new.source, minlength=len(x))
    counts = np.minimum(shares.budgets, capacity)
    rest = int(shares.budgets.sum() - counts.sum())
    counts = counts + allocate_budget(shares.probabilities, rest, capacity=capacity - counts)
    turn = np.arange(len(new.source)) - np.searchsorted(new.source, new.source)
    return np.vstack([x, new.differences[turn < counts[new.source]]])


# ------------------------------------------------------------------------------------------------------------- results


def scored(draw: Draw, condition: str) -> bool:
    """Whether a check can be scored: only where it is known which labels are wrong."""
    return condition == "flipped" or bool(draw.pool.wrong.any())


@click.group(help=__doc__)
def main() -> None:
    """See the module's text."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("work", type=click.Path(path_type=Path, file_okay=False))
@click.option("--set", "sets", type=click.Choice(SETS), multiple=True, default=SETS)
@click.option("--condition", "conditions", type=click.Choice(list(CONDITIONS)), multiple=True, default=list(CONDITIONS))
@click.option("--draws", type=click.IntRange(1), default=20, show_default=True)
def measure(folder: Path, work: Path, sets: Sequence[str], conditions: Sequence[str], draws: int) -> None:
    """Measure what is not measured yet."""
    for name in sets:
        for condition in conditions:
            path = work / f"advisor-{name}-{condition}.jsonl"
            done = len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0
            if done >= draws:
                continue
            pool = make_pool(name, folder, work, condition)
            for seed in range(FIRST_SEED + done, FIRST_SEED + draws):
                draw = draw_and_advise(pool, condition, seed)
                gains = real_gains(draw, np.random.default_rng([seed, 17]))
                kept = [
                    {"name": each.name, "kind": each.kind, "expected": each.gain, "low": each.low, "high": each.high}
                    | {"real": gains[each.name], "count": each.count}
                    for each in draw.steps
                    if each.name in gains and (each.kind != CHECK or scored(draw, condition))
                ]
                row = {"seed": seed, "pairs": len(draw.taken), "seconds": draw.seconds, "steps": kept}
                row["always augment"] = gains.get("always augment", float("nan"))
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(name, condition, seed, f"{draw.seconds:.1f} s", kept[0]["name"], flush=True)


@main.command()
@click.argument("work", type=click.Path(path_type=Path, exists=True, file_okay=False))
def tell(work: Path) -> None:
    """Print the table."""
    print("| set | labels | rank correlation | first | always check | always augment | chance | mean real gains | |")
    for name in SETS:
        for condition in CONDITIONS:
            path = work / f"advisor-{name}-{condition}.jsonl"
            if path.exists():
                rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                print(f"| {name} | {condition} | {_summary(rows)} |")
    for name in SETS:
        for condition in CONDITIONS:
            path = work / f"advisor-{name}-{condition}.jsonl"
            if path.exists():
                rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                seconds = np.median([1_000 * row["seconds"] / row["pairs"] for row in rows])
                print(f"{name}, {condition}: {_by_step(rows)}; {seconds:.0f} s for 1,000 pairs at this size")


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    """Return a line of the table; shares are "by the draw's own gains / by the means over the draws"."""
    means = {name: real for name, (_, real) in _means(rows).items()}
    seen = Counter(_usual_name(each) for row in rows for each in row["steps"])
    best_mean = max(real for name, real in means.items() if 2 * seen[name] > len(rows))
    correlations: list[float] = []
    hits: dict[str, list[tuple[float, float]]] = defaultdict(list)
    gains: dict[str, list[float]] = defaultdict(list)
    augmenting = float(np.mean([row["always augment"] for row in rows]))
    for row in rows:
        steps = row["steps"]
        real = np.array([each["real"] for each in steps])
        expected = np.array([each["expected"] for each in steps])
        usual = np.array([means[_usual_name(each)] for each in steps])
        first = steps.index(_first_choice(steps))
        choices = {"first": (real[first], usual[first]), "augment": (row["always augment"], augmenting)}
        checks = [place for place, each in enumerate(steps) if each["kind"] == CHECK]
        if checks:
            most = max(checks, key=lambda place: int(steps[place]["count"]))
            choices["check"] = (real[most], usual[most])
        choices |= {f"chance {place}": (real[place], usual[place]) for place in range(len(steps))}
        for name, (own, mean) in choices.items():
            kind = name.split(maxsplit=1)[0]
            hits[kind].append((own >= real.max() - WITHIN, mean >= best_mean - WITHIN))
            gains[kind].append(own)
        gains["best"].append(float(real.max()))
        correlations.append(float(spearmanr(expected, real).statistic))
    low, high = _interval(np.array(correlations))
    shares = ["{:.0%} / {:.0%}".format(*np.mean(hits[each], axis=0)) if each in hits else "–" for each in COMPARED]
    points = "; ".join(f"{each} {np.mean(gains[each]):+.1f}" for each in (*COMPARED, "best") if each in gains)
    return f"{np.mean(correlations):.2f} [{low:.2f}, {high:.2f}] | {' | '.join(shares)} | {points} | {len(rows)} draws"


def _first_choice(steps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the step that the advisor puts first among those that were scored."""
    told = {_as_step(each): each for each in steps}
    return told[best_first(list(told))[0]]


def _as_step(scored: dict[str, Any]) -> Step:
    name, kind, count = (scored[each] for each in ("name", "kind", "count"))
    gain = (scored["expected"], scored["low"], scored["high"])
    return Step(name, kind, count, "", *gain, minutes=0, cost="", how_known="", command="")


def _usual_name(step: dict[str, Any]) -> str:
    if step["kind"] == CHECK and step["count"] not in COUNTS:
        return "check all suspects"
    return "augment by the best law" if step["kind"] == AUGMENT else str(step["name"])


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Return what was expected and what was gained by each step, on the mean over the draws."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        for each in row["steps"]:
            found[_usual_name(each)].append((each["expected"], each["real"]))
    return {
        name: (float(np.mean([e for e, _ in told])), float(np.mean([r for _, r in told])))
        for name, told in found.items()
    }


def _by_step(rows: Sequence[dict[str, Any]]) -> str:
    means = _means(rows)
    expected, real = np.array(list(means.values())).T
    told = "; ".join(f"{name} {mean[0]:+.1f} / {mean[1]:+.1f}" for name, mean in means.items())
    return f"rank correlation of the means {spearmanr(expected, real).statistic:.2f}; expected / real: {told}"


def _interval(values: FloatArray) -> tuple[float, float]:
    drawn = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
