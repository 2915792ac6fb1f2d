"""The card of a trained policy: what it was trained from, against what, what came of it, and how it is loaded."""

from collections.abc import Sequence
from importlib.metadata import version

from mars_engine.align.training.facts import PolicyFacts
from mars_engine.align.training.guards import Look, distance_ratio
from mars_engine.core.config import AlignConfig
from mars_engine.core.records import FloatArray, Prompt
from mars_engine.embeddings.packaged_lm import PACKAGED_LM
from mars_engine.reward_models.transformer.card import PACKAGED_BASES

CARD_FILE = "README.md"
LIBRARIES = ("torch", "transformers", "peft", "trl")
SAMPLES_SHOWN = 3
OF_PPO = frozenset(
    {
        *("kl_target", "kl_horizon", "ppo_epochs", "ppo_minibatches", "value_clip", "value_weight"),
        *("discount", "smoothing", "reward_clip"),
    }
)
NOT_SHOWN = frozenset(
    {
        *("policy", "device", "checkpoint_every", "watch_every", "watched_prompts", "merge"),
        "micro_batch",
    }
)
"""Settings that are said elsewhere in a card, or change nothing of the policy."""


def render_card(facts: PolicyFacts, config: AlignConfig, prompts: Sequence[Prompt], looks: Sequence[Look]) -> str:
    """Return the card as Markdown, with the fields that the hub reads in front."""
    base = PACKAGED_BASES[PACKAGED_LM] if facts.policy == PACKAGED_LM else facts.policy
    parts = [
        _front(base, facts),
        f"# {base}, aligned by {facts.method.upper()}",
        f"Trained by MARS for {facts.steps:,} steps on {facts.prompts:,} prompts against "
        f"{', '.join(facts.rewards) or 'preference pairs'}.",
        "## What came of it",
        _table(looks, facts.watched),
        *[f"* Alarm: {sentence}." for sentence in facts.alarms],
        *[f"* {sentence}." for sentence in facts.remarks],
        "A higher reward is what the reward model prefers, no proof that people do: compare answers before this "
        "policy is used.",
        "## Answers before and after",
        _samples(prompts, looks),
        "## Loading",
        _loading(facts),
        "## Settings",
        "\n".join(f"* {name} = {value}" for name, value in _settings(config).items()),
        f"Libraries: {', '.join(f'{name} {version(name)}' for name in _libraries(config))}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(base: str, facts: PolicyFacts) -> str:
    library = "transformers" if facts.merged else "peft"
    return f"---\nlibrary_name: {library}\nbase_model: {base}\ntags: [mars, alignment, {facts.method}]\n---"


def _table(looks: Sequence[Look], watched: int) -> str:
    titles = ("step", "reward", "gold reward", "KL (nats)", "distance", "disagreement")
    rows = [
        (
            f"{look.step:,}",
            f"{look.rewards.mean():.3f}",
            _mean(look.gold),
            f"{look.kl.mean():.2f}",
            "–" if (ratio := distance_ratio(looks[0], look)) is None else f"{ratio:.2f}",
            _mean(look.disagreement),
        )
        for look in looks
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows)]
    return "\n".join(
        [
            f"On {watched:,} prompts that were not trained on, one answer each:",
            "",
            *lines,
            "",
            "Distance: how far answers lie from the responses that the reward model was trained on, as a multiple of "
            "the reference's. Disagreement: standard deviation of several reward models' rewards.",
        ]
    )


def _mean(values: FloatArray | None) -> str:
    return "–" if values is None else f"{values.mean():.3f}"


def _samples(prompts: Sequence[Prompt], looks: Sequence[Look]) -> str:
    shown = zip(prompts[:SAMPLES_SHOWN], looks[0].texts, looks[-1].texts, strict=False)
    return "\n\n".join(
        f"{_quoted(prompt[-1].content)}\n\nBefore:\n\n{_quoted(before)}\n\nAfter:\n\n{_quoted(after)}"
        for prompt, before, after in shown
    )


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.strip().splitlines() or [""])


def _loading(facts: PolicyFacts) -> str:
    kind = "AutoModelForCausalLM" if facts.merged else "AutoPeftModelForCausalLM"
    package = "transformers" if facts.merged else "peft"
    return f"```python\nfrom {package} import {kind}\nmodel = {kind}.from_pretrained(folder)\n```"


def _settings(config: AlignConfig) -> dict[str, object]:
    hidden = NOT_SHOWN | (frozenset() if config.method == "ppo" else OF_PPO)
    return {name: value for name, value in config.model_dump().items() if name not in hidden}


def _libraries(config: AlignConfig) -> Sequence[str]:
    return LIBRARIES if config.method != "ppo" else LIBRARIES[:-1]
