"""What the quality gates catch: of rule-based proposals, of damage done on purpose, and of flipped labels.

    .venv/bin/python -m benchmarks.augment.gates ../shared/data WORK [--labels]

WORK is a folder that is made for a workspace, so that a second run is quick, and for passed.txt: 50 proposals that
passed every gate, drawn by seed, for reading by hand. With --labels the table of flipped labels is printed alone.
"""

import argparse
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from mars_engine.augment.generators import RuleParaphraser
from mars_engine.augment.generators.protocols import ParaphraseRequest
from mars_engine.augment.plan import make_plan
from mars_engine.augment.propose import make_proposals
from mars_engine.augment.quality.gatekeeper import (
    Candidate,
    Gatekeeper,
    last_turn,
    make_gatekeeper,
    regate,
)
from mars_engine.augment.quality.gates import GATES, Evidence, Gate, judge_variants
from mars_engine.augment.quality.text_facts import NEGATION, NUMBER, code_spans, names
from mars_engine.augment.workbench import Workbench
from mars_engine.core.clock import utc_now
from mars_engine.core.config import AllocationConfig, MarsConfig, TriageConfig
from mars_engine.core.progress import PlainProgress, SilentProgress
from mars_engine.core.records import FloatArray, Pair, PairSet, Proposal, Split, TrainingSet
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.embeddings.distances import response_distances
from mars_engine.reward_models.protocols import ProbeFitter
from mars_engine.reward_models.score import draw_folds, score_model
from mars_engine.reward_models.train import train_warm_up
from mars_engine.stats.fixed_draws import fixed_numbers
from mars_engine.stats.intervals import wilson_interval
from mars_engine.workspace.workspace import CONFIG_FILE, create_workspace, find_workspace, open_workbench

SETS = ("hh-harmless", "alpaca-pairs")
SOURCES = {"hh-harmless": 300, "alpaca-pairs": 100}
PROPOSALS, READ, DAMAGED, FLIP_JUDGED = 1_000, 50, 200, 500
SEED, SEEDS = 0, 10
FLIPPED_SHARES = (0.10, 0.25, 0.40)
THRESHOLDS = (-0.5, -0.25, 0.0, 0.25)
CONFIG = MarsConfig(triage=TriageConfig(policy="keep"), allocation=AllocationConfig(law="uniform"))
SILENT = SilentProgress()
PARTS: tuple[tuple[str, Split], ...] = (("train", "train"), ("test", "heldout"))


def fresh_random() -> random.Random:
    return random.Random(SEED)  # noqa: S311 (a draw of examples, no secret)


# ---------------------------------------------------------------------------------------------------- (a) catch rates


def import_set(bench: Workbench, name: str, folder: Path) -> None:
    for part, split in PARTS:
        source = open_source(str(folder / f"{name}-{part}.jsonl.gz"))
        import_pairs(source, bench.store, split=split, clock=bench.clock, progress=SILENT)


def propose_for_some(bench: Workbench, name: str, folder: Path) -> list[Proposal]:
    """Import a set, propose for some of its pairs, and return proposals drawn by seed, judged by today's gates."""
    import_set(bench, name, folder)
    model = train_warm_up(bench)
    score_model(bench, model)
    ids = [pair.id for pair in bench.store.pairs.pairs("train")]
    drawn = fresh_random().sample(ids, SOURCES[name])
    bench.store.pair_sets.add(PairSet("some", "some", "benchmark", utc_now(), len(drawn)), drawn)
    make_proposals(bench, make_plan(bench, model, pair_set="some").plan)
    regate(bench)
    found = bench.store.proposals.proposals()
    return fresh_random().sample(found, min(PROPOSALS, len(found)))


def faults_of(proposal: Proposal) -> set[str]:
    return {flag.partition(":")[0] for flag in proposal.flags}


def only_paraphrased(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Return those whose source was not refined."""
    return [each for each in proposals if each.method == "paraphrase"]


def show_catches(name: str, proposals: Sequence[Proposal]) -> None:
    """Print how many proposals each gate catches, how many it alone, and how many of those without refining."""
    passed, plain = sum(not each.flags for each in proposals), only_paraphrased(proposals)
    print(f"\n{name}: {len(proposals):,} proposals, {passed:,} pass every gate ({passed / len(proposals):.1%});")
    print(f"{len(plain):,} are paraphrases alone, {sum(not each.flags for each in plain):,} of which pass")
    print(f"{'gate':16} {'caught':>7} {'share':>7} {'by it alone':>12} {'of paraphrases':>15} {'of refined':>11}")
    for gate in GATES:
        caught = [each for each in proposals if gate.fault in faults_of(each)]
        alone, unrefined = sum(len(faults_of(each)) == 1 for each in caught), len(only_paraphrased(caught))
        print(
            f"{gate.name:16} {len(caught):7,} {len(caught) / len(proposals):7.1%} {alone:12,} "
            f"{unrefined / len(plain):15.1%} {(len(caught) - unrefined) / max(len(proposals) - len(plain), 1):11.1%}"
        )


def write_passed(bench: Workbench, proposals: Sequence[Proposal], path: Path) -> None:
    """Write some proposals that passed every gate, for reading by hand; the draw of one depends on no other."""
    passed = [each for each in proposals if not each.flags]
    numbers = fixed_numbers(np.array([each.id for each in passed], dtype=np.bytes_), f"read:{SEED}")
    drawn = [passed[place] for place in np.argsort(numbers)[:READ].tolist()]
    sources = bench.store.pairs.by_id({each.source_id for each in drawn})
    parts = []
    for number, each in enumerate(drawn, start=1):
        source = sources[each.source_id]
        question = last_turn(each.as_pair())
        parts.append(
            f"##### {number}  {each.method}, variant {each.variant}, source {each.source_id}\n"
            f"PROMPT   {last_turn(source)}\nPROMPT'  {question}\n"
            f"CHOSEN   {source.chosen}\nCHOSEN'  {each.chosen}\n"
            f"REJECTED   {source.rejected}\nREJECTED'  {each.rejected}\n"
        )
    path.write_text("\n".join(parts), encoding="utf-8")


# ------------------------------------------------------------------------------------------------------- (d) damage

Damage = Callable[[str, random.Random], str | None]
"""Returns a damaged text; None where there is nothing to damage."""

OTHER_NAMES = ("Olga", "Karthik", "Nairobi", "Siemens", "Peru")
FOREIGN = (
    "Das kommt darauf an, was du damit vorhast, und ich würde zuerst einen Arzt fragen.",
    "Je ne sais pas exactement ce que vous voulez dire, mais voici quelques conseils utiles.",
    "No estoy seguro de lo que quieres decir, pero puedo darte algunos consejos sobre esto.",
    "Non sono sicuro di cosa intendi, ma posso darti alcuni consigli utili su questo argomento.",
    "Я не совсем понимаю, что вы имеете в виду, но могу дать несколько советов.",
    "申し訳ありませんが、それについてはもう少し詳しく説明していただけますか。",
)
REFUSALS = (
    "As an AI language model, I do not have opinions. ",
    "I'm sorry, but I can't help with that. ",
    "I cannot assist with this request. ",
    "I'm just an AI, so I would not know. ",
    "I am not able to provide that information. ",
    "That is something I would rather not talk about. ",
    "Sorry, this goes against my guidelines. ",
)
PERSONAL = (
    "jane.roe@example.org",
    "+44 20 7946 0958",
    "(212) 555-0147",
    "https://example.org/u/jane",
    "192.0.2.44",
    "@jane_roe",
    "4111 1111 1111 1111",
)


def change_number(text: str, rng: random.Random) -> str | None:
    found = list(NUMBER.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    digit = str((int(match.group()[-1]) + rng.randint(1, 9)) % 10)
    return text[: match.end() - 1] + digit + text[match.end() :]


def swap_name(text: str, rng: random.Random) -> str | None:
    found = sorted(names(text))
    return re.sub(rf"\b{re.escape(rng.choice(found))}\b", rng.choice(OTHER_NAMES), text) if found else None


def drop_negation(text: str, rng: random.Random) -> str | None:
    found = [match for match in NEGATION.finditer(text) if match.group().casefold() in {"not", "never"}]
    found += list(re.finditer(r"(?<=\w)n['’]t\b", text))
    if not found:
        return None
    match = rng.choice(found)
    return text[: match.start()].rstrip() + text[match.end() :]


def add_negation(text: str, rng: random.Random) -> str | None:
    found = list(re.finditer(r"\b(?:is|are|was|can|should|will)\b(?! not)", text))
    if not found:
        return None
    end = rng.choice(found).end()
    return f"{text[:end]} not{text[end:]}"


def alter_code(text: str, rng: random.Random) -> str | None:
    found = [code for code in code_spans(text) if len(code) > 8]
    if not found:
        return None
    code = rng.choice(found)
    place = rng.randrange(4, len(code) - 4)
    return text.replace(code, f"{code[:place]}x{code[place:]}", 1)


def insert(phrases: Sequence[str], *, at_start: bool) -> Damage:
    def damage(text: str, rng: random.Random) -> str | None:
        phrase = rng.choice(phrases)
        if at_start:
            return phrase + text
        words = text.split(" ")
        place = rng.randrange(len(words) + 1)
        return " ".join([*words[:place], phrase, *words[place:]])

    return damage


def replace_by(texts: Sequence[str]) -> Damage:
    return lambda _text, rng: rng.choice(texts)


def lose_contrast(pair: Pair) -> Pair:
    return Pair.of(pair.prompt, pair.chosen, f"Well. {pair.chosen}")


def damages(answers: Sequence[str]) -> dict[str, tuple[str, Damage]]:
    """Damage to a chosen answer, with the gate that is for it."""
    return {
        "text left empty": ("non_empty", lambda _text, _rng: "  \n"),
        "another pair's answer": ("fidelity", replace_by(answers)),
        "another pair's answer, off topic": ("on_prompt", replace_by(answers)),
        "a digit changed": ("numbers", change_number),
        "a name exchanged": ("names", swap_name),
        "a not or never dropped": ("negations", drop_negation),
        "a not put in": ("negations", add_negation),
        "a character put into code": ("code", alter_code),
        "a sentence in another language instead": ("language", replace_by(FOREIGN)),
        "a refusal before it": ("refusals", insert(REFUSALS, at_start=True)),
        "personal data put in": ("personal_data", insert(PERSONAL, at_start=False)),
    }


def candidate(source: Pair, new: Pair, variant: int = 0, *, distance: tuple[float, float] = (0.5, 0.5)) -> Candidate:
    return Candidate(source.id, source, source, new, variant, *distance)


def with_distances(bench: Workbench, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with the semantic distances of their pairs."""
    before = response_distances(bench.encoder, [each.original for each in candidates], progress=SILENT)
    after = response_distances(bench.encoder, [each.new for each in candidates], progress=SILENT)
    return [
        replace(each, distance_before=float(one), distance_after=float(other))
        for each, one, other in zip(candidates, before, after, strict=True)
    ]


def show_damage(name: str, bench: Workbench, keeper: Gatekeeper, proposals: Sequence[Proposal]) -> None:
    """Print how often each gate catches what it is for, and how often it objects to undamaged paraphrases."""
    pairs = bench.store.pairs.pairs("train")
    rng = fresh_random()
    rng.shuffle(pairs)
    gates = {gate.name: gate for gate in GATES}
    plain = only_paraphrased(proposals)
    alarms = {name: sum(gate.fault in faults_of(each) for each in plain) / len(plain) for name, gate in gates.items()}
    print(f"\n{name}: damage, and false alarms among {len(plain):,} rule-based paraphrases")
    print(f"{'damage':40} {'gate':15} {'caught':>9} {'share':>7} {'95% interval':>16} {'false alarms':>13}")

    def show(what: str, gate: Gate, caught: int, total: int) -> None:
        if not total:
            print(f"{what:40} {gate.name:15} {'none here':>9}", flush=True)
            return
        interval = wilson_interval(caught, total)
        print(
            f"{what:40} {gate.name:15} {caught:4,}/{total:4,} {caught / total:7.1%} "
            f"[{interval.low:6.1%}, {interval.high:6.1%}] {alarms[gate.name]:13.1%}",
            flush=True,
        )

    def judge(what: str, gate: Gate, candidates: Sequence[Candidate]) -> None:
        evidence = keeper.evidence(with_distances(bench, candidates))
        show(what, gate, sum(bool(gate.reasons(each, keeper.config)) for each in evidence), len(evidence))

    answers = [pair.chosen for pair in pairs]
    for what, (gate_name, damage) in damages(answers).items():
        damaged = [(pair, damage(pair.chosen, rng)) for pair in pairs]
        changed = [
            candidate(pair, Pair.of(pair.prompt, new, pair.rejected))
            for pair, new in damaged
            if new is not None and new != pair.chosen
        ]
        judge(what, gates[gate_name], changed[:DAMAGED])
    some = pairs[:DAMAGED]
    judge(
        "both answers in capitals",
        gates["not_a_copy"],
        [candidate(pair, Pair.of(pair.prompt, pair.chosen.upper(), f" {pair.rejected}\n")) for pair in some],
    )
    judge("rejected says what chosen says", gates["contrast"], [candidate(pair, lose_contrast(pair)) for pair in some])
    swapped = [candidate(pair, pair.exchanged) for pair in some]
    judge("the sides exchanged", gates["label"], swapped)
    judge("the sides exchanged", gates["margin"], swapped)
    judge("a paraphrased held-out pair", gates["leakage"], leaked(bench, some))
    found = [near_duplicates(keeper, pair) for pair in some]
    known = [each for each in found if each is not None]
    show("a variant once more, a full stop apart", gates["near_duplicate"], sum(known), len(known))


def leaked(bench: Workbench, sources: Sequence[Pair]) -> list[Candidate]:
    """Return paraphrases of held-out pairs, as if they were proposed for training pairs."""
    found = []
    for source, pair in zip(sources, bench.store.pairs.pairs("heldout"), strict=False):
        chosen, rejected = (paraphrases(text, 1) for text in (pair.chosen, pair.rejected))
        if chosen and rejected:
            found.append(candidate(source, Pair.of(pair.prompt, chosen[0], rejected[0])))
    return found


def paraphrases(text: str, count: int) -> tuple[str, ...]:
    (generation,) = RuleParaphraser().paraphrase([ParaphraseRequest("text", text, count, SEED)])
    return generation.candidates


def near_duplicates(keeper: Gatekeeper, pair: Pair) -> bool | None:
    """Whether the second of two variants that differ by a full stop is flagged; None where none can be made."""
    chosen, rejected = (paraphrases(text, 1) for text in (pair.chosen, pair.rejected))
    if not chosen or not rejected:
        return None
    first = Pair.of(pair.prompt, chosen[0], rejected[0])
    second = Pair.of(pair.prompt, f"{chosen[0].rstrip('.')} .", rejected[0])
    evidence: list[Evidence] = keeper.evidence([candidate(pair, first, 0), candidate(pair, second, 1)])
    verdicts = judge_variants(evidence[1:], keeper.config, kept=evidence[:1])
    return any(reason.startswith("near duplicate: both answers resemble variant") for reason in verdicts[0].reasons)


# -------------------------------------------------------------------------------------------------- (c) flipped labels


def show_flips(name: str, trainer: ProbeFitter, pairs: Sequence[Pair]) -> None:
    """Print how many proposals of flipped pairs, and of the others, the label gate stops at several thresholds."""
    judged = fresh_random().sample(range(len(pairs)), min(FLIP_JUDGED, len(pairs)))
    variants = [(index, new) for index in judged if (new := paraphrased(pairs[index])) is not None]
    print(f"\n{name}: the label gate, {len(variants):,} proposals, {len(pairs):,} training pairs, {SEEDS} seeds")
    print(f"{'flipped':>8} {'min_label_margin':>17} {'flipped stopped':>27} {'good stopped':>27} {'wrong left':>11}")
    for share in FLIPPED_SHARES:
        stopped = np.array([flip_and_judge(trainer, pairs, variants, share, seed) for seed in range(SEEDS)])
        for place, threshold in enumerate(THRESHOLDS):
            bad, good = (seed_interval(stopped[:, place, side]) for side in (0, 1))
            left = stopped[:, place, 2].mean()
            print(f"{share:8.0%} {threshold:17.2f} {bad:>27} {good:>27} {left:11.1%}", flush=True)


def paraphrased(pair: Pair) -> Pair | None:
    """Return a rule-based variant of a pair, without refining; None where no phrase of either answer is known."""
    chosen, rejected = (paraphrases(text, 1) for text in (pair.chosen, pair.rejected))
    if not chosen and not rejected:
        return None
    return Pair.of(pair.prompt, chosen[0] if chosen else pair.chosen, rejected[0] if rejected else pair.rejected)


def flip_and_judge(
    trainer: ProbeFitter, pairs: Sequence[Pair], variants: Sequence[tuple[int, Pair]], share: float, seed: int
) -> list[list[float]]:
    """Return by threshold the shares stopped of flipped and of good proposals, and of flipped ones among those left."""
    drawn = np.random.default_rng(seed).permutation(len(pairs))[: round(share * len(pairs))]
    is_flipped = np.isin(np.arange(len(pairs)), drawn)
    noisy = [pair.exchanged if flip else pair for pair, flip in zip(pairs, is_flipped, strict=True)]
    folds = draw_folds(noisy, CONFIG.model_copy(update={"seed": seed}))
    models = trainer.fold_models(TrainingSet.plain(noisy), folds, progress=SILENT)
    owners = np.array([index for index, _ in variants])
    proposed = [new.exchanged if is_flipped[index] else new for index, new in variants]
    margins: FloatArray = models.margins(proposed, folds[:, owners], progress=SILENT).mean(axis=0)
    wrong = is_flipped[owners]
    rows = []
    for threshold in THRESHOLDS:
        stops = margins < threshold * models.own_margins.std()
        rows.append([float(stops[wrong].mean()), float(stops[~wrong].mean()), float(wrong[~stops].mean())])
    return rows


def seed_interval(values: FloatArray) -> str:
    """Return a mean over seeds with its 95% t interval."""
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return f"{values.mean():.1%} [{values.mean() - half:.1%}, {values.mean() + half:.1%}]"


def main(folder: Path, work: Path, *, labels_alone: bool) -> None:
    """Print every table, and write the proposals to read."""
    for name in SETS:
        root = work / name
        workspace = find_workspace(root) if (root / CONFIG_FILE).is_file() else create_workspace(root)
        with open_workbench(replace(workspace, config=CONFIG), PlainProgress()) as bench:
            if labels_alone:
                import_set(bench, name, folder)
            else:
                show_proposals(name, bench, folder, work)
            show_flips(name, bench.probe_trainer, bench.store.pairs.pairs("train"))


def show_proposals(name: str, bench: Workbench, folder: Path, work: Path) -> None:
    """Print what the gates catch of proposals and of damage, and write the proposals to read."""
    proposals = propose_for_some(bench, name, folder)
    show_catches(name, proposals)
    write_passed(bench, proposals, work / f"passed-{name}.txt")
    keeper = make_gatekeeper(bench)
    show_damage(name, bench, keeper, proposals)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help=f"the folder of {', '.join(SETS)}")
    parser.add_argument("work", type=Path, help="a folder for the workspaces")
    parser.add_argument("--labels", action="store_true", help="print the table of flipped labels alone")
    arguments = parser.parse_args()
    main(arguments.folder, arguments.work, labels_alone=arguments.labels)
