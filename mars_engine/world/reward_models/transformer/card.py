"""The model card that goes with a checkpoint, filled from the run that made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mars_engine.words.records import Truncation

READING = {
    "pair": 'tokenizer(prompt, response, return_tensors="pt")',
    "concat": 'tokenizer(prompt + response, return_tensors="pt")',
    "chat": "tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False, "
    'return_tensors="pt")',
}
"""How a text is given to the model in plain transformers, by input format."""


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What is known of a training when it has ended."""

    model_id: str
    backbone: str
    input_format: str
    max_tokens: int
    settings: Mapping[str, Any]
    base_pairs: int
    variants: int
    validation_pairs: int
    steps: int
    last_step: Mapping[str, float]
    """The figures of the last optimizer steps, by name."""
    validation_losses: tuple[float, ...]
    truncation: Truncation
    in_bf16: bool
    pad_token_added: bool


def render_card(facts: TrainingFacts) -> str:
    """Return the README of a checkpoint, as the hub shows it."""
    cut = facts.truncation
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        "tags: [reward-model, preference, mars]",
        "---",
        "",
        f"# Reward model {facts.model_id}",
        "",
        f"Fine-tuned from `{facts.backbone}` on {facts.base_pairs:,} preference pairs and {facts.variants:,} augmented "
        f"pairs, in {facts.steps:,} optimizer steps. The one output is the reward: the higher, the better.",
        "",
        "## Use",
        "",
        "```python",
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        "model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        f"reward = model(**{READING[facts.input_format]}).logits[0, 0]",
        "```",
        "",
        f"Input format `{facts.input_format}`, at most {facts.max_tokens:,} tokens"
        + (
            "; the prompt is one paragraph a turn, `role: content` and an empty line after it."
            if facts.input_format != "chat"
            else "."
        ),
        *(
            ["A padding token was added: the backbone had none that differs from its end token."]
            if facts.pad_token_added
            else []
        ),
        "",
        "## Training",
        "",
        "| | |",
        "|---|---|",
        *[f"| {name.replace('_', ' ')} | {value} |" for name, value in facts.settings.items()],
        f"| arithmetic | {'bf16, weights in fp32' if facts.in_bf16 else 'fp32'} |",
        f"| pairs set aside for early stopping | {facts.validation_pairs:,} |",
        *[f"| {name}, last steps | {value:.4f} |" for name, value in facts.last_step.items()],
        *[
            f"| validation loss after epoch {epoch} | {loss:.4f} |"
            for epoch, loss in enumerate(facts.validation_losses, start=1)
        ],
        "",
        f"Of {cut.passages:,} texts, {cut.contexts_cut:,} lost the beginning of their prompt to the length limit, "
        f"{cut.responses_cut:,} a part of a response longer than it.",
        "",
        "## Limits",
        "",
        "A reward model ranks answers the way its pairs did. It has not been checked on other kinds of prompts, and "
        "its rewards are comparable for one prompt only.",
        "",
    ]
    return "\n".join(lines)
