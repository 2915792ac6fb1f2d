"""What the offline paraphrasers write: how fast, what passes the quality gates, and texts to read by hand.

    .venv/bin/python -m benchmarks.augment.offline_writers ../shared/data WORK [--pairs 100] [--sets demo,alpaca-pairs]
        [--writers rules,ranked,causal,llama.cpp]

One paraphrase of each answer of so many training pairs, by the phrase list, by the phrase list with candidates ranked
by the packaged language model, and by that model itself, which transformers or llama.cpp runs. WORK is a folder that is
made; in it stand the answers, so that a run that was stopped goes on, and passed-WRITER-SET.txt: at most 50 pairs of
answers that passed every gate.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mars_engine.augment.generators import RuleParaphraser
from mars_engine.augment.generators.causal import CausalFluency, CausalParaphraser, rank_paraphrases
from mars_engine.augment.generators.protocols import Generation, Paraphraser, ParaphraseRequest
from mars_engine.augment.quality.gatekeeper import Candidate, last_turn, make_gatekeeper
from mars_engine.augment.workbench import Workbench
from mars_engine.core.clock import utc_now
from mars_engine.core.config import CausalConfig, ChatConfig, MarsConfig, ProposeConfig
from mars_engine.core.progress import PlainProgress, SilentProgress
from mars_engine.core.records import Pair
from mars_engine.data.import_pairs import import_pairs
from mars_engine.data.loaders import open_source
from mars_engine.embeddings.distances import response_distances
from mars_engine.embeddings.packaged_lm import PACKAGED_LM
from mars_engine.stats.intervals import wilson_interval
from mars_engine.workspace.generators import open_generators
from mars_engine.workspace.workspace import CONFIG_FILE, create_workspace, find_workspace, open_workbench

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo-train.jsonl"
WRITERS = ("rules", "ranked", "causal", "llama.cpp")
RANK_SPARE, CAUSAL_SPARE = 8, 1
CHUNK, READ, SEED = 16, 50, 0
LLAMA_CPP = ChatConfig(backend="llama.cpp", model=PACKAGED_LM, profile="small", timeout_seconds=600)
SILENT = SilentProgress()


Judged = tuple[Pair, Pair, tuple[str, ...]]
"""A source, its new pair, and the reasons against it."""


@contextmanager
def open_writer(name: str, bench: Workbench, root: Path) -> Iterator[Paraphraser]:
    config = CausalConfig(spare=CAUSAL_SPARE)
    match name:
        case "rules":
            yield RuleParaphraser()
        case "ranked":
            yield rank_paraphrases(RuleParaphraser(), CausalFluency(config, progress=SILENT), RANK_SPARE)
        case "causal":
            yield CausalParaphraser(config, progress=SILENT)
        case _:
            settings = MarsConfig(propose=ProposeConfig(paraphraser="chat"), chat=LLAMA_CPP, causal=config)
            with open_generators(
                root, settings, bench.encoder, bench.store.chat, progress=SILENT, clock=utc_now
            ) as generators:
                yield generators.paraphraser


def write(writer: Paraphraser, name: str, texts: Sequence[str], kept: Path) -> tuple[dict[str, str], float, float]:
    """Return the paraphrase of each text ("" for none), the seconds of writing, and those of loading."""
    answers: dict[str, Any] = {"texts": {}, "seconds": 0.0, "load": 0.0}
    if kept.is_file():
        answers = json.loads(kept.read_text())
    left = [text for text in dict.fromkeys(texts) if text not in answers["texts"]]
    progress = PlainProgress()
    if left:
        start = time.perf_counter()
        writer.paraphrase([ParaphraseRequest("warm", "It is a good idea to begin with a small thing.", 1, SEED)])
        answers["load"] = time.perf_counter() - start
    with progress.task(f"{name} writes", len(left)) as task:
        for at in range(0, len(left), CHUNK):
            chunk = left[at : at + CHUNK]
            start = time.perf_counter()
            found: list[Generation] = writer.paraphrase([ParaphraseRequest(text, text, 1, SEED) for text in chunk])
            answers["seconds"] += time.perf_counter() - start
            answers["texts"].update({each.key: each.candidates[0] if each.candidates else "" for each in found})
            kept.write_text(json.dumps(answers))
            task.advance(len(chunk))
    return answers["texts"], answers["seconds"], answers["load"]


def judge(bench: Workbench, sources: Sequence[Pair], texts: dict[str, str]) -> list[Judged]:
    """Return each source with its new pair and the reasons against it; pairs with no new text are left out."""
    new = [
        (each, Pair.of(each.prompt, texts[each.chosen] or each.chosen, texts[each.rejected] or each.rejected))
        for each in sources
        if texts[each.chosen] or texts[each.rejected]
    ]
    before = response_distances(bench.encoder, [one for one, _ in new], progress=SILENT)
    after = response_distances(bench.encoder, [other for _, other in new], progress=SILENT)
    candidates = [
        Candidate(one.id, one, one, other, 0, float(near), float(far))
        for (one, other), near, far in zip(new, before, after, strict=True)
    ]
    keeper = make_gatekeeper(bench)
    verdicts = keeper.judge(candidates)
    return [(one, other, verdict.reasons) for (one, other), verdict in zip(new, verdicts, strict=True)]


def write_passed(path: Path, passed: Sequence[Judged]) -> None:
    drawn = random.Random(SEED).sample(list(passed), min(READ, len(passed)))  # noqa: S311 (a draw of examples)
    path.write_text(
        "\n".join(
            f"##### {number}\nPROMPT    {last_turn(one)}\nCHOSEN    {one.chosen}\nCHOSEN'   {new.chosen}\n"
            f"REJECTED  {one.rejected}\nREJECTED' {new.rejected}\n"
            for number, (one, new, _) in enumerate(drawn, start=1)
        ),
        encoding="utf-8",
    )


def show(name: str, pairs: int, texts: dict[str, str], seconds: float, load: float, judged: Sequence[Judged]) -> None:
    words = sum(len(text.split()) for text in texts.values())
    without = sum(not text for text in texts.values())
    passed = sum(not reasons for *_, reasons in judged)
    interval = wilson_interval(passed, pairs)
    print(
        f"\n{name}: {len(texts):,} texts, {without:,} without a paraphrase; {seconds:,.0f} s ({load:.1f} s to load), "
        f"{words / max(seconds, 1e-9):,.1f} words/s; {passed} of {pairs} pairs pass every gate "
        f"({passed / pairs:.1%}, {interval.low:.0%} to {interval.high:.0%})"
    )
    faults = Counter(fault for *_, reasons in judged for fault in {reason.partition(":")[0] for reason in reasons})
    for fault, count in faults.most_common():
        print(f"  {fault:30} stops {count:4} of {len(judged)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--sets", default="demo,alpaca-pairs")
    parser.add_argument("--writers", default=",".join(WRITERS))
    options = parser.parse_args()
    for name in options.sets.split(","):
        folder = options.work / name
        workspace = (
            find_workspace(folder) if (folder / CONFIG_FILE).is_file() else create_workspace(folder, MarsConfig())
        )
        path = DEMO if name == "demo" else options.data / f"{name}-train.jsonl.gz"
        with open_workbench(workspace, SILENT) as bench:
            import_pairs(open_source(str(path)), bench.store, split="train", clock=utc_now, progress=SILENT)
            everything = sorted(bench.store.pairs.pairs("train"), key=lambda pair: pair.id)
            pairs = random.Random(SEED).sample(everything, min(options.pairs, len(everything)))  # noqa: S311
            for writer in options.writers.split(","):
                texts = [text for pair in pairs for text in (pair.chosen, pair.rejected)]
                with open_writer(writer, bench, folder) as paraphraser:
                    found, seconds, load = write(paraphraser, writer, texts, folder / f"{writer}.json")
                found = {text: found[text] for text in texts}
                judged = judge(bench, pairs, found)
                show(f"{name}, {writer}", len(pairs), found, seconds, load, judged)
                passed = [each for each in judged if not each[2]]
                write_passed(options.work / f"passed-{writer}-{name}.txt", passed)


if __name__ == "__main__":
    main()
