"""The model card that goes with a checkpoint, filled from the run that made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mars_engine.core.config import RewardModelConfig
from mars_engine.core.records import ModelEvidence, Truncation
from mars_engine.embeddings.model_folder import PACKAGED
from mars_engine.embeddings.packaged_lm import PACKAGED_LM
from mars_engine.reward_models.transformer.probe_start import PassageReading

LIBRARIES = ("torch", "transformers", "accelerate", "peft")
PACKAGED_BASES = {
    PACKAGED: "sentence-transformers/all-MiniLM-L6-v2",
    PACKAGED_LM: "HuggingFaceTB/SmolLM2-135M-Instruct",
}
"""What packaged models are called on the hub."""
"""What the packaged backbone is on the hub."""
SETTINGS_OF: Mapping[str, tuple[str, ...]] = {
    "loss": ("label_smoothing", "focal_gamma", "loss_margin"),
    "lora": ("lora_r", "lora_alpha", "lora_dropout"),
    "early_stopping_patience": ("validation_percent",),
}
"""Settings that count only where another one says so."""
LOSS_SETTINGS = {"label_smoothed": "label_smoothing", "focal": "focal_gamma", "margin": "loss_margin"}
ELSEWHERE = {
    "backbone",
    "input_format",
    "max_tokens",
    "device",
    "batch_tokens",
    "checkpoint_every",
    "report_to",
    "trajectory",
}
"""Settings that are said elsewhere in a card, or change nothing of the model."""

PAIRS, LIMITS = "## Pairs and figures", "## Limits"
RANKS_AS_ITS_PAIRS = (
    "A reward model ranks answers the way its pairs did. It has not been checked on other kinds of prompts, and its "
    "rewards are comparable for one prompt only."
)

TURNS = (
    'turns = [{"role": "user", "content": "Which planet is the largest?"}]',
    'response = "Jupiter."',
)
PARAGRAPHS = """prompt = "".join(f"{turn['role']}: {turn['content']}\\n\\n" for turn in turns)"""
READING = {
    "pair": (*TURNS, PARAGRAPHS, 'encoded = tokenizer(prompt, response, return_tensors="pt")'),
    "concat": (*TURNS, PARAGRAPHS, 'encoded = tokenizer(prompt + response, return_tensors="pt")'),
    "chat": (
        *TURNS,
        'dialogue = [*turns, {"role": "assistant", "content": response}]',
        "text = tokenizer.apply_chat_template(dialogue, tokenize=False)",
        'encoded = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
    ),
}
"""How a text is given to the model in plain transformers, by input format, in lines of Python."""


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
    validation_losses: tuple[float, ...]
    truncation: Truncation
    in_bf16: bool
    pad_token_added: bool
    fsdp_unused: bool
    """Whether FSDP was asked for and each process had whole weights all the same."""
    pooled: PassageReading | None = None
    """Under the head 'probe', what it reads."""
    in_template: bool = False
    """Whether the contexts that it reads are in the tokenizer's chat template."""


def settings_in_force(config: RewardModelConfig) -> dict[str, Any]:
    """Return the settings that made a model what it is; those of a loss or a method that was not used are left out."""
    idle = {*SETTINGS_OF["loss"]} - {LOSS_SETTINGS.get(config.loss, "")}
    for switch in ("lora", "early_stopping_patience"):
        if not getattr(config, switch):
            idle |= {switch, *SETTINGS_OF[switch]}
    idle |= {name for name in ("consistency_weight", "center_rewards_coefficient") if not getattr(config, name)}
    return config.model_dump(exclude=ELSEWHERE | idle)


def _base_model(backbone: str) -> list[str]:
    """Return the card's metadata of a backbone that has a name on the hub; a folder has none."""
    name = PACKAGED_BASES.get(backbone, backbone)
    is_hub_id = name.count("/") == 1 and not name.startswith((".", "~", "/")) and not Path(name).exists()
    return [f"base_model: {name}"] if is_hub_id else []


POOLED = {
    "response": (
        'context = ""  # the response is read alone',
        "before, after = [tokenizer.cls_token_id], [tokenizer.sep_token_id]",
    ),
    "context": (
        PARAGRAPHS.replace("prompt =", "context ="),
        "before, after = [tokenizer.cls_token_id], [tokenizer.sep_token_id]",
    ),
}
POOLED_IN_TEMPLATE = (
    "context = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)",
    "before, after = [], []  # the template has its special tokens already",
)
"""How a text's context is written for a model with the head 'probe'."""


def _use(facts: TrainingFacts) -> list[str]:
    """Return how a reward is computed in plain transformers, in lines of Python."""
    if facts.pooled is None:
        return [
            "import torch",
            "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
            "",
            "model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)",
            "tokenizer = AutoTokenizer.from_pretrained(folder)",
            *READING[facts.input_format],
            "with torch.no_grad():",
            "    reward = model(**encoded).logits[0, 0]",
        ]
    text = facts.pooled.text
    start = "len(before)" if text.reading == "all" else "len(before) + len(context_ids)"
    end = "len(before) + len(context_ids) + len(response_ids)"
    in_template = facts.in_template and text.reading != "response"
    return [
        "import torch",
        "from safetensors.torch import load_file",
        "from transformers import AutoModel, AutoTokenizer",
        "",
        "encoder = AutoModel.from_pretrained(folder, dtype=torch.float32)",
        'head = load_file(f"{folder}/model.safetensors")["reward_head.weight"][0]',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        *TURNS,
        *(POOLED_IN_TEMPLATE if in_template else POOLED["response" if text.reading == "response" else "context"]),
        "context_ids = tokenizer(context, add_special_tokens=False).input_ids",
        "response_ids = tokenizer(response, add_special_tokens=False).input_ids",
        "token_ids = torch.tensor([[*before, *context_ids, *response_ids, *after]])",
        f"start, end = {start if text.pooling == 'mean' else f'{end} - 1'}, {end}",
        "with torch.no_grad():",
        "    states = encoder(token_ids, output_hidden_states=True).hidden_states",
        f"    means = [states[layer][0, start:end].mean(dim=0) for layer in {list(text.layers)}]",
        "    reward = torch.cat(means) @ head",
    ]


def _how_it_reads(facts: TrainingFacts) -> list[str]:
    paragraphs = " The prompt is one paragraph a turn, `role: content` and an empty line after it."
    if facts.pooled is None:
        return [
            f"Input format `{facts.input_format}`, at most {facts.max_tokens:,} tokens: of a longer text, cut the "
            "beginning of its prompt, as training did." + (paragraphs if facts.input_format != "chat" else "")
        ]
    text = facts.pooled.text
    tokens = "all tokens" if text.reading == "all" else "the response's tokens"
    alone = " The prompt is not read." if text.reading == "response" else "" if facts.in_template else paragraphs
    layers = " and ".join(map(str, text.layers))
    states = f"the mean of {tokens}" if text.pooling == "mean" else "the response's last token"
    return [
        f"The reward is a linear head on {states} at hidden layer{'s' * (len(text.layers) > 1)} {layers} of the "
        "encoder; the layers above were cut away. No class of transformers has such a head: "
        "`AutoModelForSequenceClassification` and TRL do not load it, MARS does, and the lines above compute the same.",
        "",
        f"At most {facts.max_tokens:,} tokens: of a longer text, cut the beginning of its prompt, then the end of its "
        f"response, as training did.{alone}",
    ]


def render_card(facts: TrainingFacts) -> str:
    """Return the README of a checkpoint, as the hub shows it."""
    cut = facts.truncation
    lines = [
        "---",
        "library_name: transformers",
        *_base_model(facts.backbone),
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
        *_use(facts),
        "```",
        "",
        *_how_it_reads(facts),
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
        *[f"| {name} | {version(name)} |" for name in LIBRARIES],
        f"| pairs set aside for early stopping | {facts.validation_pairs:,} |",
        *[
            f"| validation loss after epoch {epoch} | {loss:.4f} |"
            for epoch, loss in enumerate(facts.validation_losses, start=1)
        ],
        "",
        f"Of {cut.passages:,} texts, {cut.contexts_cut:,} lost the beginning of their prompt to the length limit, "
        f"{cut.responses_cut:,} a part of a response longer than it.",
        "",
        LIMITS,
        "",
        RANKS_AS_ITS_PAIRS,
        "",
    ]
    return "\n".join(lines)


def with_evidence(card: str, evidence: ModelEvidence) -> str:
    """Return a card with the pairs behind the model and its figures on those held out, in the place of earlier ones."""
    before, limits, after = card.partition(LIMITS)
    return f"{before.partition(PAIRS)[0]}{evidence_section(evidence)}{limits}{after}"


def evidence_section(evidence: ModelEvidence) -> str:
    """Return the section of a transformer's model card on the pairs behind it, which ends with an empty line."""
    lines = [
        PAIRS,
        "",
        "| pairs of | split | how many | content hash |",
        "|---|---|---|---|",
        *[
            f"| {_cell(each.name)} | {each.split} | {each.pair_count:,} | {each.content_hash} |"
            for each in evidence.datasets
        ],
        "",
        f"On the {evidence.heldout_pairs:,} held-out pairs it ranks {evidence.heldout_accuracy:.1%} the right way "
        f"round, with a mean log-loss of {evidence.heldout_log_loss:.4f}."
        if evidence.heldout_pairs
        else "There were no held-out pairs to measure it on.",
        "",
        "",
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Return a name as a table shows it, whatever it has in it."""
    return "`" + text.replace("|", "/").replace("`", "'").replace("\n", " ") + "`"
