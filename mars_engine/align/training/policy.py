"""The policy that is trained: a causal language model, how it reads a prompt, and its adapter."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from mars_engine.core.config import AlignConfig, PolicyTemplate
from mars_engine.core.errors import ModelError, NotReadyError
from mars_engine.core.records import Pair, Prompt
from mars_engine.embeddings.causal_lm import load_causal_lm
from mars_engine.embeddings.context import render_context
from mars_engine.embeddings.devices import find_device
from mars_engine.embeddings.model_folder import find_model_folder
from mars_engine.embeddings.packaged_lm import PACKAGED_LM
from mars_engine.embeddings.pretrained import load_chat_tokenizer, load_tokenizer, most_positions

ADAPTER_SETTINGS = "adapter_config.json"
ANSWERING = "assistant: "
"""What stands before an answer in plain text."""
EXPECTED_POLICY = "'packaged-lm', a folder with a causal language model, or a hub id"
POLICY_SETTING = "policy under [align] in mars.toml"


@dataclass(frozen=True)
class Policy:
    """A causal language model and its tokenizer, as they were before training."""

    name: str
    model: Any
    tokenizer: Any
    template: PolicyTemplate
    device: torch.device

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @property
    def end_ids(self) -> list[int]:
        """The tokens that end a completion, whichever of them comes first."""
        ends = self.model.generation_config.eos_token_id
        known = ends if isinstance(ends, list) else [] if ends is None else [ends]
        return sorted({*known, self.tokenizer.eos_token_id} - {None})

    def turns(self, prompt: Prompt) -> Any:
        """Return a prompt as TRL takes it: turns for a chat template, else the text."""
        if self.template == "plain":
            return f"{render_context(prompt)}{ANSWERING}"
        return [{"role": turn.role, "content": turn.content} for turn in prompt]

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Return the tokens that the policy in training reads before it answers."""
        if self.template == "plain":
            return list(self.tokenizer(self.turns(prompt), verbose=False)["input_ids"])
        encoded = self.tokenizer.apply_chat_template(
            self.turns(prompt), add_generation_prompt=True, tokenize=True, return_dict=True
        )
        return list(encoded["input_ids"])


def load_policy(config: AlignConfig) -> Policy:
    """Load the policy in fp32, onto its device.

    Raises:
        ModelError: there is no such model, it is none that writes, it lacks weights or an end token, or its tokenizer
            has no chat template where that is asked for.
    """
    folder = find_model_folder(config.policy, purpose="policy", expected=EXPECTED_POLICY, setting=POLICY_SETTING)
    _require_whole_model(folder, config.policy)
    tokenizer = load_tokenizer(folder) if config.template == "plain" else _load_chat_tokenizer(folder)
    device = find_device(config.device, section="align")
    model = load_causal_lm(
        folder,
        tokenizer,
        device=device,
        precision="fp32",
        expected=EXPECTED_POLICY,
        remedy=f"correct {POLICY_SETTING}",
    )
    tokenizer.padding_side = "left"
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Policy(config.policy, model, tokenizer, config.template, device)


def _load_chat_tokenizer(folder: Path) -> Any:
    return load_chat_tokenizer(
        folder,
        expected="an instruct model, whose tokenizer says how a dialogue is written",
        remedy='name one as policy under [align] in mars.toml, or set template = "plain" there to have prompts '
        "written as plain text",
    )


def _require_whole_model(folder: Path, name: str) -> None:
    if (folder / ADAPTER_SETTINGS).is_file():
        raise ModelError(
            f"the policy {name!r} is an adapter, and the adapter that is trained would only fit on both together",
            expected="a whole model",
            remedy="merge it first: PeftModel.merge_and_unload() and save_pretrained, or 'mars align --align-merge'",
        )


def lora_settings(model: Any, config: AlignConfig) -> Any:
    """Return peft's settings of adapters on all linear layers but the one that writes tokens."""
    from peft import LoraConfig, TaskType

    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout if config.method == "dpo" else 0.0,  # ratios would be noise
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )


def with_adapter(policy: Policy, config: AlignConfig) -> Any:
    """Return the policy's model with a fresh adapter, whose weights depend on the seed alone."""
    from peft import get_peft_model

    with torch.random.fork_rng(devices=[]), tolerated_warnings():
        torch.manual_seed(config.seed)
        return get_peft_model(policy.model, lora_settings(policy.model, config))


@contextmanager
def tolerated_warnings() -> Iterator[None]:
    """Keep quiet that peft and TRL ask transformers by names that it is giving up."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


# ---------------------------------------------------------------------------------------------------------- prompts


@dataclass(frozen=True, slots=True)
class FittingPrompts:
    """The prompts that are short enough, and how many are not."""

    kept: tuple[Prompt, ...]
    too_long: int
    limit: int
    """Most tokens that a prompt may have."""


def fitting_prompts(policy: Policy, prompts: Sequence[Prompt], config: AlignConfig) -> FittingPrompts:
    """Leave out the prompts that are too long for the settings, or for the policy's context with their answer.

    Raises:
        NotReadyError: there is no prompt, or none is short enough.
        ModelError: an answer alone fills the policy's context.
    """
    if not prompts:
        raise NotReadyError(
            "there are no prompts to train on", remedy="import held-out pairs, or name a file of prompts"
        )
    positions = most_positions(policy.model)
    room = positions - config.max_new_tokens if positions else config.max_prompt_tokens
    if room < 1:
        raise ModelError(
            f"answers of {config.max_new_tokens:,} tokens leave no room for a prompt: the policy {policy.name!r} takes "
            f"{positions:,} tokens at most",
            remedy="lower max_new_tokens under [align] in mars.toml",
        )
    limit = min(room, config.max_prompt_tokens)
    lengths = [len(policy.prompt_ids(prompt)) for prompt in prompts]
    kept = tuple(prompt for prompt, length in zip(prompts, lengths, strict=True) if length <= limit)
    if not kept:
        context = f" (the policy takes {positions:,} tokens, the answer among them)" if room == limit else ""
        raise NotReadyError(
            f"all {len(prompts):,} prompts are too long: the shortest has {min(lengths):,} tokens",
            expected=f"at most {limit:,}{context}",
            remedy="raise max_prompt_tokens or lower max_new_tokens under [align] in mars.toml, or name other prompts",
        )
    return FittingPrompts(kept, len(prompts) - len(kept), limit)


@dataclass(frozen=True, slots=True)
class FittingPairs:
    """The pairs that are short enough to train a policy on, and how many are not."""

    kept: tuple[Pair, ...]
    too_long: int


def fitting_pairs(policy: Policy, pairs: Sequence[Pair], config: AlignConfig) -> FittingPairs:
    """Leave out pairs with a prompt or a side that is longer than the settings have it.

    Raises:
        NotReadyError: there is no pair, or none is short enough.
    """
    kept = tuple(pair for pair in pairs if _fits(policy, pair, config))
    if not kept:
        found = f"all {len(pairs):,} pairs are too long" if pairs else "there are no pairs to train on"
        raise NotReadyError(
            found,
            expected=f"prompts of {config.max_prompt_tokens:,} and answers of {config.max_new_tokens:,} tokens at most",
            remedy="raise max_prompt_tokens and max_new_tokens under [align] in mars.toml, or import other pairs",
        )
    return FittingPairs(kept, len(pairs) - len(kept))


def _fits(policy: Policy, pair: Pair, config: AlignConfig) -> bool:
    def length(text: str) -> int:
        return len(policy.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    longest = max(length(pair.chosen), length(pair.rejected))
    prompt = len(policy.prompt_ids(pair.prompt))
    positions = most_positions(policy.model) or prompt + longest
    is_within = prompt <= config.max_prompt_tokens and longest <= config.max_new_tokens
    return is_within and prompt + longest < positions


def name_base(model: Any, policy: Policy) -> None:
    """Have a hub id stand in the adapter's settings, where it was one, and not its place in this machine's cache."""
    if policy.name != PACKAGED_LM and not Path(policy.name).expanduser().is_dir():
        model.peft_config["default"].base_model_name_or_path = policy.name
