"""Preference pairs for DPO out of a policy's own completions: the best and the worst of n, by the reward."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from mars_engine.align.training.policy import Policy
from mars_engine.align.training.rewards import PolicyReward
from mars_engine.align.training.sampling import sample_completions
from mars_engine.core.config import AlignConfig
from mars_engine.core.errors import ModelError
from mars_engine.core.progress import Progress
from mars_engine.core.records import Pair, Prompt, Turn
from mars_engine.core.whole_folder import replace_text


@dataclass(frozen=True, slots=True)
class FoundPairs:
    """The pairs to train on, and how many prompts gave none, since all their completions got one reward."""

    pairs: tuple[Pair, ...]
    without: int


def best_and_worst(
    policy: Policy,
    prompts: Sequence[Prompt],
    reward: PolicyReward,
    config: AlignConfig,
    *,
    kept: Path,
    progress: Progress,
) -> FoundPairs:
    """Sample completions of each prompt, and return the best and the worst as a pair.

    At most as many prompts are asked as training will see. The pairs are kept in a file, so that resumed training does
    not sample again.

    Raises:
        ModelError: no prompt has completions of different rewards, or a reward cannot be used.
    """
    if kept.is_file():
        return _read(kept)
    asked = prompts[: config.steps * config.prompts_per_step]
    pairs: list[Pair] = []
    policy.model.eval()
    with progress.task("sample", len(asked)) as task, torch.random.fork_rng():
        for start in range(0, len(asked), config.prompts_per_step):
            torch.manual_seed(config.seed * 1_000_003 + start)
            some = asked[start : start + config.prompts_per_step]
            repeated = [prompt for prompt in some for _ in range(config.completions)]
            texts = sample_completions(policy, policy.model, repeated, config).texts
            rewards = reward.score(repeated, texts).rewards.reshape(-1, config.completions)
            for place, (prompt, row) in enumerate(zip(some, rewards, strict=True)):
                own = texts[place * config.completions : (place + 1) * config.completions]
                best, worst = int(row.argmax()), int(row.argmin())
                if row[best] > row[worst] and own[worst].strip():
                    pairs.append(Pair.of(prompt, own[best], own[worst]))
            task.advance(len(some))
    if not pairs:
        raise ModelError(
            f"the {config.completions} completions of each of {len(asked):,} prompts got one reward, so that none is "
            "the best",
            expected="completions that the reward model tells apart",
            remedy="raise 'completions' or 'temperature' under [align] in mars.toml, or choose another reward model",
        )
    found = FoundPairs(tuple(pairs), len(asked) - len(pairs))
    _write(kept, found)
    return found


def _write(path: Path, found: FoundPairs) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"prompt": [asdict(turn) for turn in each.prompt], "sides": [each.chosen, each.rejected]}
        for each in found.pairs
    ]
    replace_text(path, json.dumps({"without": found.without, "pairs": rows}, ensure_ascii=False))


def _read(path: Path) -> FoundPairs:
    found = json.loads(path.read_text(encoding="utf-8"))
    pairs = [Pair.of([Turn(**turn) for turn in row["prompt"]], *row["sides"]) for row in found["pairs"]]
    return FoundPairs(tuple(pairs), found["without"])
