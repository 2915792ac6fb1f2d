"""Policies: what answers prompts. A language model with or without an adapter, or answers that were recorded."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mars_engine.align.answers import Answer, AnsweredPrompt, RecordedAnswers
from mars_engine.align.kept_answers import KeptAnswers
from mars_engine.align.sampling import Draw, Sample, SamplingSettings
from mars_engine.core.config import Precision
from mars_engine.core.errors import ModelError
from mars_engine.core.progress import Progress
from mars_engine.core.records import Prompt, content_id, prompt_id
from mars_engine.embeddings.model_folder import find_model_folder, fingerprint_folder

if TYPE_CHECKING:
    from mars_engine.align.causal_sampler import CausalSampler

ADAPTER_FILE = "adapter_config.json"
TOO_FEW = "prompt with fewer answers than asked for"
NOT_RECORDED = "prompt without recorded answers"
EXPECTED = (
    "'packaged-lm', a folder with a causal language model or with an adapter, or a hub id that is on this machine"
)
EXTRA_DRAWS = 2
"""Up to so many times the answers asked for are drawn, where some are empty."""


@dataclass(frozen=True, slots=True)
class PolicyAnswers:
    """What a policy answered: the prompts that got as many answers as asked for, and what was left out, by reason."""

    policy: str
    rows: tuple[AnsweredPrompt, ...]
    left_out: Mapping[str, int]
    empty: int = 0
    """Empty answers, each drawn anew."""
    cut_off: int = 0
    """Answers among the rows that had not ended by the limit."""


class Policy(Protocol):
    """Answers prompts."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Identifies the policy's weights and settings: equal fingerprints give equal answers."""
        ...

    def answer(self, prompts: Sequence[Prompt], count: int, *, progress: Progress) -> PolicyAnswers:
        """Return `count` answers to each prompt; a prompt that cannot get so many is left out and counted."""
        ...


@dataclass(frozen=True)
class RecordedPolicy:
    """Answers that were recorded, of one model or several."""

    recorded: RecordedAnswers

    @property
    def name(self) -> str:
        return self.recorded.name

    @property
    def fingerprint(self) -> str:
        return self.recorded.content_hash

    def answer(self, prompts: Sequence[Prompt], count: int, *, progress: Progress) -> PolicyAnswers:  # noqa: ARG002
        by_prompt = {row.prompt_id: row for row in self.recorded.rows}
        left_out: Counter[str] = Counter()
        rows = []
        for prompt in prompts:
            row = by_prompt.get(prompt_id(prompt))
            if row is None:
                left_out[NOT_RECORDED] += 1
            elif len(row.answers) < count:
                left_out[TOO_FEW] += 1
            else:
                rows.append(AnsweredPrompt(row.prompt, row.answers[:count]))
        return PolicyAnswers(self.name, tuple(rows), dict(left_out))


@dataclass(frozen=True)
class SampledPolicy:
    """A language model that is sampled. What it has drawn is kept, and never drawn twice."""

    name: str
    weights: str
    """Fingerprint of the model, the adapter and the precision."""
    sampler: "CausalSampler"
    settings: SamplingSettings
    folder: Path
    """Where the answers of all policies are kept."""

    @property
    def fingerprint(self) -> str:
        return content_id(self.weights, self.settings.as_plain())

    @property
    def kept(self) -> KeptAnswers:
        return KeptAnswers(self.folder / f"{self.fingerprint}.jsonl")

    def answer(self, prompts: Sequence[Prompt], count: int, *, progress: Progress) -> PolicyAnswers:
        """Return `count` answers to each prompt. An empty one is drawn anew, each prompt's up to as often again."""
        left_out: Counter[str] = Counter()
        asked: list[Prompt] = []
        for prompt in prompts:
            reason = self.sampler.why_not(prompt, self.settings)
            left_out[reason] += bool(reason)
            asked += [] if reason else [prompt]
        tries = dict.fromkeys(asked, 0)
        known = self.kept.load()
        while draws := self._missing(tries, known, count):
            known |= self._draw([draw for draw in draws if draw.key not in known], progress)
            for draw in draws:
                tries[draw.prompt] = draw.number + 1
        found = {prompt: [known[prompt_id(prompt), number] for number in range(tries[prompt])] for prompt in asked}
        written = {prompt: [sample for sample in found[prompt] if sample.text][:count] for prompt in asked}
        left_out[TOO_FEW] += sum(len(samples) < count for samples in written.values())
        whole = {prompt: samples for prompt, samples in written.items() if len(samples) == count}
        return PolicyAnswers(
            self.name,
            tuple(
                AnsweredPrompt(prompt, tuple(Answer(sample.text, self.name) for sample in samples))
                for prompt, samples in whole.items()
            ),
            dict(+left_out),
            empty=sum(not sample.text for samples in found.values() for sample in samples),
            cut_off=sum(not sample.finished for samples in whole.values() for sample in samples),
        )

    def _missing(self, tries: Mapping[Prompt, int], known: Mapping[tuple[str, int], Sample], count: int) -> list[Draw]:
        """Return the next draws of each prompt that has too few answers yet, and tries left."""
        draws = []
        for prompt, tried in tries.items():
            written = sum(bool(known[prompt_id(prompt), number].text) for number in range(tried))
            last = min(tried + count - written, EXTRA_DRAWS * count)
            draws += [Draw(prompt, number) for number in range(tried, last)]
        return draws

    def _draw(self, draws: Sequence[Draw], progress: Progress) -> dict[tuple[str, int], Sample]:
        found: dict[tuple[str, int], Sample] = {}
        with progress.task(f"draw answers from {self.name}", len(draws)) as task:
            for batch in self.sampler.draw(draws, self.settings):
                self.kept.append(batch)
                found |= {draw.key: sample for draw, sample in batch}
                task.advance(len(batch))
        return found


def load_policy(
    name: str,
    settings: SamplingSettings,
    folder: Path,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    batch_tokens: int = 0,
    download: bool = False,
) -> SampledPolicy:
    """Load a language model as a policy.

    Args:
        name: 'packaged-lm', a folder with a model or with an adapter of peft, or a hub id.
        settings: how it is sampled.
        folder: where its answers are kept.
        device: "cpu", "cuda" or "auto".
        precision: "fp32", "bf16" or "auto".
        batch_tokens: token budget of a batch, answers and padding included; 0 is what suits the device.
        download: whether a hub id that is not on this machine is downloaded.

    Raises:
        ModelError: there is no such model, adapter, tokenizer or chat template, or the device cannot be used.
    """
    found = _find(name, "policy", download=download)
    adapter = found if (found / ADAPTER_FILE).is_file() else None
    base = found if adapter is None else _find(base_of(adapter), "base of the adapter", download=download)
    from mars_engine.align.causal_sampler import CausalSampler

    model, tokenizer = _load(base, adapter, device, precision)
    weights = [fingerprint_folder(each) for each in (base, adapter) if each is not None]
    return SampledPolicy(
        policy_name(name),
        content_id(*weights, str(model.dtype)),
        CausalSampler(model, tokenizer, batch_tokens),
        settings,
        folder,
    )


def policy_name(policy: str) -> str:
    """Return what a policy is called: its folder's name, or its name on the hub."""
    folder = Path(policy).expanduser()
    return folder.name if folder.is_dir() else policy


def base_of(adapter: Path) -> str:
    """Return the model that a policy's adapter (of peft) was trained on, as its configuration names it.

    Raises:
        ModelError: it names none.
    """
    try:
        base = json.loads((adapter / ADAPTER_FILE).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{adapter / ADAPTER_FILE} cannot be read: {error}", expected="the configuration of an adapter of peft"
        ) from error
    if not isinstance(base, str) or not base:
        raise ModelError(
            f"the adapter in {adapter} does not name the model that it belongs to",
            expected=f"'base_model_name_or_path' in {ADAPTER_FILE}",
            remedy="write the folder or hub id of that model there",
        )
    return base


def _find(name: str, purpose: str, *, download: bool) -> Path:
    return find_model_folder(name, purpose=purpose, expected=EXPECTED, setting="--policy", download=download)


def _load(base: Path, adapter: Path | None, device: str, precision: Precision) -> tuple[Any, Any]:
    """Return a policy's model in evaluation mode, its adapter merged, and its tokenizer."""
    from mars_engine.embeddings.causal_lm import load_causal_lm
    from mars_engine.embeddings.devices import find_device
    from mars_engine.embeddings.pretrained import has_tokenizer, load_chat_tokenizer

    tokenizer = load_chat_tokenizer(
        adapter if adapter is not None and has_tokenizer(adapter) else base,
        expected="a model that was trained to answer chats",
        remedy="name an instruct model, or save a chat template with the tokenizer",
    )
    place = find_device(device, section="align")
    model = load_causal_lm(base, tokenizer, device=place, precision=precision, expected=EXPECTED)
    return model if adapter is None else _with_adapter(model, adapter), tokenizer


def _with_adapter(model: Any, adapter: Path) -> Any:
    import warnings

    from peft import PeftModel

    try:
        with warnings.catch_warnings():  # peft still asks transformers by a name that it is giving up
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            return PeftModel.from_pretrained(model, adapter).merge_and_unload().eval()
    except Exception as error:  # peft, safetensors and torch raise kinds of their own
        raise ModelError(
            f"the adapter in {adapter} does not go on {base_of(adapter)}: {str(error).splitlines()[0]}",
            expected="an adapter of peft that was trained on that model",
            remedy=f"correct 'base_model_name_or_path' in its {ADAPTER_FILE}, or name another adapter",
        ) from error
