"""The configuration: one model with a section for each stage.

The docstring below a setting is its only help text: the command line's `--help`, the comments of `mars.toml` and the
pages' forms are made from it.
"""

import inspect
import tomllib
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from mars_engine.core.errors import ConfigError

AllocationLaw = Literal["signed", "absolute", "fisher", "uniform"]
TriagePolicy = Literal["ask", "keep", "leave_out", "smooth", "flip"]
LAWS: tuple[AllocationLaw, ...] = ("signed", "absolute", "fisher", "uniform")
ProbeReading = Literal["auto", "response", "context", "all"]
ProbePooling = Literal["mean", "last"]
AUTO_LAYERS = "auto"
SENTENCE_LAYERS = "sentence"
GateRule = Literal["mean", "quantile", "fixed"]
MarginScale = Literal["raw", "standard"]
ReviewOrder = Literal["plan", "margin", "gain", "distance", "random"]
HeadName = Literal["default", "probe"]
SUITABLE_RATES: dict[HeadName, float] = {"default": 2e-5, "probe": 1e-4}
"""Learning rates by head; that of 'probe' by cross-validation, see docs/experiments.md."""
InputFormat = Literal["pair", "concat", "chat"]
LossName = Literal["bradley_terry", "label_smoothed", "focal", "margin"]
Precision = Literal["auto", "fp32", "bf16"]
ParaphraserName = Literal["rules", "chat", "seq2seq"]
RefinerName = Literal["extractive", "chat", "seq2seq"]
JudgeName = Literal["none", "chat"]
ChatBackendName = Literal["server", "transformers"]
StructuredOutput = Literal["auto", "on", "off"]
Decoding = Literal["diverse", "beam", "sample"]
MOVED_TO_QUALITY = frozenset({"min_fidelity", "max_contrast_loss", "max_margin_loss"})
"""Settings that older files have under [propose]."""
NEVER_REPEATED = ("chat.base_url", "chat.api_key_variable")
"""Settings into which a key may have been written by mistake: an error does not repeat what stands there."""
TEMPLATE_FIELDS = frozenset({"prompt", "answer", "other"})
PROBE_BACKBONE = "probe"
PACKAGED_BACKBONE = "packaged"


class Section(BaseModel):
    """A section of the configuration; unknown keys are refused, values are checked.

    The docstring below a setting is its help.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for field in cls.model_fields.values():
            if field.description:  # a help is one line, however its docstring is wrapped
                field.description = " ".join(field.description.split())


class EncoderConfig(Section):
    """The sentence encoder behind the probe and the semantic distance."""

    name: str = "packaged"
    """Encoder: 'packaged' (all-MiniLM-L6-v2, offline), a folder, or a hub id."""
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 256
    """Longest passage in tokens; the context is cut from the left first."""
    batch_tokens: Annotated[int, Field(ge=0)] = 0
    """Token budget of one batch, padding included; changes speed, not scores. 0 is what suits the device: 2,048 on a
    processor, 16,384 on a GPU."""
    device: str = "auto"
    """Where the encoder runs: 'cpu', 'cuda', or 'auto'."""


class ProbeConfig(Section):
    """The probe: a Bradley-Terry head on frozen hidden states.

    What is left open is chosen at the warm-up, by cross-validation over prompts on the training pairs alone.
    """

    reading: ProbeReading = "auto"
    """Which tokens count: those of the 'response' read alone, those of the response read in the 'context' of its
    prompt, or 'all' of prompt and response; 'auto' lets the training pairs choose between the first two."""
    layers: Annotated[
        str, Field(pattern=f"^({AUTO_LAYERS}|{SENTENCE_LAYERS}|[0-9]{{1,3}}(, *[0-9]{{1,3}}){{0,3}})$")
    ] = AUTO_LAYERS
    """Which hidden layers of the encoder: numbers such as '1,3' (0 is the word embeddings), 'sentence' for the sentence
    embedding, or 'auto', which lets the training pairs choose."""
    pooling: ProbePooling = "mean"
    """A text's state: the 'mean' of its tokens' states, or that of the 'last' token."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Strength of the L2 penalty, l2/2*|w|^2 beside the mean loss of a pair; 0 lets the training pairs choose."""


class RewardModelConfig(Section):
    """The reward model that is trained: the probe, or a transformer that is fine-tuned whole or through LoRA.

    Triage always asks the probe: its out-of-fold models cost seconds, those of a transformer hours.
    """

    backbone: str = PROBE_BACKBONE
    """What is trained: 'probe', 'packaged' (fine-tunes all-MiniLM-L6-v2, offline), or another transformer, by its
    folder or hub id."""
    head: HeadName = "default"
    """Where a transformer's reward is read: 'default', at the head that its architecture has in transformers, or
    'probe', for encoders built like BERT: where the probe reads it, with the layers above cut away, started from the
    probe's solution. The backbone must then be the model of [encoder], whose max_tokens holds; input_format and
    max_tokens here do not count."""
    input_format: InputFormat = "pair"
    """How a transformer reads: prompt and response as a text 'pair', as one text ('concat'), or in the tokenizer's own
    'chat' template."""
    max_tokens: Annotated[int, Field(ge=16, le=131_072)] = 512
    """Longest prompt and response in tokens; the prompt is cut from the left."""
    learning_rate: Annotated[float, Field(ge=0)] = 0.0
    """Highest learning rate of AdamW; 0 is what suits the head: 2e-5 for 'default', 1e-4 for 'probe'."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 5
    """Passes over the training pairs."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Pairs in one forward pass."""
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1
    """Forward passes in one optimizer step; times batch_size is the effective batch."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises; then it falls."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of AdamW."""
    loss: LossName = "bradley_terry"
    """Loss of a pair: 'bradley_terry', 'label_smoothed' (labels may be wrong), 'focal' (easy pairs count less), or
    'margin' (a margin below loss_margin still costs)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Under 'label_smoothed', the probability that a label is wrong."""
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    """Under 'focal', how much less easy pairs count; 0 is Bradley-Terry."""
    loss_margin: Annotated[float, Field(ge=0)] = 1.0
    """Under 'margin', what is taken off every margin; 0 is Bradley-Terry."""
    center_rewards_coefficient: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the squared sum of a pair's rewards, which centres them; 0 is off."""
    consistency_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the squared distance of a paraphrase's reward from that of the text it paraphrases; refined texts are
    not pulled; 0 is off."""
    lora: bool = False
    """Train low-rank adapters (LoRA), merged at the end, and the head."""
    lora_r: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapters."""
    lora_alpha: Annotated[int, Field(ge=1)] = 32
    """Scale of the adapters."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Dropout before the adapters."""
    early_stopping_patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a lower loss on pairs set aside, after which training stops and the best epoch is kept; 0 trains
    all epochs on all pairs."""
    validation_percent: Annotated[int, Field(ge=1, le=50)] = 10
    """Share of the prompts that early stopping sets aside, in percent."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 100
    """Optimizer steps between checkpoints, from which interrupted training goes on."""
    trajectory: bool = False
    """Keep every training pair's margin after each epoch (costs a scoring pass each)."""
    batch_tokens: Annotated[int, Field(ge=0)] = 0
    """Token budget of one scoring batch; changes speed, not scores. 0 is what suits the device: 2,048 on a processor,
    16,384 on a GPU."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seed of the head, dropout and order of the pairs."""
    precision: Precision = "auto"
    """Of training: 'fp32', 'bf16' (fp32 weights, bf16 arithmetic), or 'auto': bf16 where the hardware has it. Rewards
    are always computed in fp32."""
    device: str = "auto"
    """Where a transformer runs: 'cpu', 'cuda', or 'auto'."""

    def with_rate(self) -> "RewardModelConfig":
        """Return these settings with the learning rate that suits the head, where none is set."""
        return self.model_copy(update={"learning_rate": self.learning_rate or SUITABLE_RATES[self.head]})


class TriageConfig(Section):
    """Telling suspected mislabels from hard pairs, by margins of models that never saw the pair."""

    policy: TriagePolicy = "ask"
    """What happens to suspected mislabels: 'ask' a person (no budget until decided), 'keep' as they are, 'leave_out',
    'smooth' the label, or 'flip' it."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Folds of the out-of-fold margins; pairs of one prompt share a fold."""
    seeds: Annotated[int, Field(ge=1)] = 5
    """How many times the folds are drawn anew."""
    near_zero: Annotated[float, Field(ge=0)] = 0.25
    """A mean margin within this many standard deviations of 0 counts as hard, not as suspected."""
    smoothing: Annotated[float, Field(ge=0, le=0.5)] = 0.3
    """Under 'smooth', the probability given to the other side."""


class AllocationConfig(Section):
    """How the augmentation budget is spread over the source pairs."""

    law: AllocationLaw = "signed"
    """'signed' softmax(-tau*margin), 'absolute' softmax(-tau*|margin|), 'fisher' p(1-p) with p = sigmoid(margin), or
    'uniform'."""
    tau: Annotated[float, Field(ge=0)] = 0.5
    """Sharpness of the softmax laws; 0 is uniform."""
    scale: MarginScale = "raw"
    """'raw' margins, or 'standard': divided by their standard deviation (tau is not scale-free)."""
    budget: Annotated[int, Field(ge=0)] = 0
    """New pairs in all, B; 0 means budget_per_pair times the number of source pairs."""
    budget_per_pair: Annotated[float, Field(gt=0)] = 5.0
    """New pairs per source pair where budget is 0."""
    cap: Annotated[int, Field(ge=0)] = 0
    """Most new pairs of one source pair, the excess handed on; 0 means no cap."""


class GateConfig(Section):
    """Whether a pair's two answers are far enough apart to be paraphrased as they are."""

    rule: GateRule = "mean"
    """Threshold: the 'mean' distance, a 'quantile' of the distances, or a 'fixed' value."""
    quantile: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Which quantile, under rule 'quantile'."""
    threshold: Annotated[float, Field(ge=0, le=2)] = 0.3
    """Which distance (1 - cosine, 0 to 2), under rule 'fixed'."""


class ProposeConfig(Section):
    """How proposals are made."""

    paraphraser: ParaphraserName = "rules"
    """Who paraphrases: 'rules' (phrases of a fixed list; an offline stand-in), 'chat' (the chat model under [chat]), or
    'seq2seq' (the sequence-to-sequence model under [seq2seq])."""
    refiner: RefinerName = "extractive"
    """Who sharpens the contrast: 'extractive' (leaves sentences out; an offline stand-in), 'chat' (the chat model under
    [chat]), or 'seq2seq' (the sequence-to-sequence model under [seq2seq])."""
    variants: Annotated[int, Field(ge=1, le=50)] = 5
    """Paraphrases asked for of each text."""
    refine_tries: Annotated[int, Field(ge=1, le=20)] = 5
    """Most rewrites of a side until its contrast suffices."""
    refine_epsilon: Annotated[float, Field(ge=0, le=1)] = 0.02
    """A refined pair's distance must exceed the old one by more than this."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the generators."""
    chunk: Annotated[int, Field(ge=1)] = 32
    """Source pairs that are generated, embedded and stored at a time."""


class ChatConfig(Section):
    """A chat model that paraphrases, refines or judges: behind an OpenAI-compatible server, or loaded here."""

    backend: ChatBackendName = "server"
    """Where the model runs: behind a 'server' with OpenAI's interface, or here, by 'transformers'."""
    base_url: Annotated[str, Field(pattern='^https?://[!"$->A-~]+$')] = "http://127.0.0.1:8000/v1"
    """Address of the server, with its /v1 where it has one, and without a user, '?' or any key in it."""
    model: str = ""
    """The model, by the name that the server knows; for 'transformers' a folder, or the hub id of a model that is on
    this machine."""
    judge_model: str = ""
    """The model that judges; empty means the same."""
    api_key_variable: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = "MARS_CHAT_API_KEY"
    """Name of the environment variable (or of the entry in Streamlit's secrets) with the key that the server wants, if
    any; never the key itself."""
    temperature: Annotated[float, Field(ge=-1, le=2)] = 0.8
    """Temperature of the sampling; below 0 leaves it and top_p to the server. The judge has 0."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the probability that is sampled from, likeliest tokens first."""
    max_tokens: Annotated[int, Field(ge=16, le=131_072)] = 2048
    """Longest answer to a request, in tokens."""
    candidates: Annotated[int, Field(ge=1, le=50)] = 5
    """Most rewrites of a text that are asked for in one request."""
    structured: StructuredOutput = "auto"
    """Answers as JSON by a schema: 'auto' (until the server refuses it), 'on' or 'off'; transformers has no such
    thing."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 8
    """Most requests under way at a time."""
    requests_per_minute: Annotated[int, Field(ge=0)] = 0
    """Most requests a minute, evenly spaced; 0 means no limit."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 120.0
    """Longest wait for an answer, in seconds."""
    retries: Annotated[int, Field(ge=0, le=20)] = 5
    """How often a request is sent again after 429, 5xx, a timeout or a lost connection."""
    first_wait_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    """Wait before a request is sent again, in seconds; doubled each time, with jitter, to at most 60. A server's
    Retry-After is obeyed instead."""
    breaker: Annotated[int, Field(ge=1)] = 5
    """After so many failures in a row, each in spite of all retries, nothing more is asked, or not for a while
    (breaker_wait_seconds)."""
    breaker_wait_seconds: Annotated[float, Field(ge=0)] = 600.0
    """How long a server that had answered and then failed so often is waited for, in seconds; one request at a time
    tries whether it is back. 0 means not at all."""
    max_requests: Annotated[int, Field(ge=0)] = 0
    """Budget of this workspace in requests, retries included; 0 means no limit."""
    max_total_tokens: Annotated[int, Field(ge=0)] = 0
    """Budget of this workspace in tokens, in and out; 0 means no limit."""
    max_cost: Annotated[float, Field(ge=0)] = 0.0
    """Budget of this workspace in money, by the two prices; 0 means no limit."""
    input_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million tokens in, in any currency."""
    output_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million tokens out, likewise."""
    device: str = "auto"
    """Where transformers runs the model: 'cpu', 'cuda', or 'auto'."""
    precision: Precision = "auto"
    """Of the model in transformers: 'fp32', 'bf16', or 'auto': bf16 on a GPU that has it, fp32 on a processor."""
    batch_tokens: Annotated[int, Field(ge=0)] = 0
    """Token budget of one batch in transformers, answers included. 0 is what suits the device: 2,048 on a processor,
    16,384 on a GPU."""

    @property
    def has_budget(self) -> bool:
        return bool(self.max_requests or self.max_total_tokens or self.max_cost)

    @model_validator(mode="after")
    def _priced_where_money_is_limited(self) -> "ChatConfig":
        if self.max_cost and not (self.input_price or self.output_price):
            raise ValueError("max_cost limits nothing without input_price and output_price: say what tokens cost")
        return self


class Seq2SeqConfig(Section):
    """The sequence-to-sequence generator: a model that rewrites passages, as paraphraser, as refiner or as both."""

    model: str = "humarin/chatgpt_paraphraser_on_T5_base"
    """A sequence-to-sequence model that paraphrases, by its folder or hub id. A hub id whose files are not on this
    machine yet is downloaded."""
    prefix: str = "paraphrase: "
    """What the model reads before each passage, as it was trained to."""
    decoding: Decoding = "diverse"
    """How candidates are found: 'diverse' (beams that are kept from choosing the same words), 'beam' (the likeliest),
    or 'sample' (drawn at random, by the seed of [propose])."""
    beams: Annotated[int, Field(ge=1, le=64)] = 5
    """Candidates that are decoded of each passage, at least."""
    spare: Annotated[int, Field(ge=0, le=64)] = 3
    """Candidates that are decoded beyond the variants asked for, so that unfit ones can be left out and those kept that
    differ most."""
    diversity_penalty: Annotated[float, Field(ge=0, le=100)] = 3.0
    """Under 'diverse', what a word loses for each beam that chose it at this place."""
    temperature: Annotated[float, Field(gt=0, le=5)] = 1.0
    """Under 'sample', and at the refiner's first try: above 1 draws bolder."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Under 'sample', the share of the probability that is drawn from, likeliest first."""
    no_repeat_ngram: Annotated[int, Field(ge=0, le=20)] = 3
    """No run of so many tokens comes twice in a passage; 0 allows it."""
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 128
    """Most tokens that the model reads at once, prefix included; longer texts are rewritten by groups of sentences."""
    list_items: bool = False
    """Rewrite the text of list items too; their marks and order stay in any case."""
    min_length_percent: Annotated[int, Field(ge=0, le=100)] = 50
    """Shortest rewriting of a passage, in percent of its letters."""
    refiner_model: str = ""
    """Another model for the refiner, by its folder or hub id; empty means the same one."""
    refiner_template: str = ""
    """What the refiner's model reads, with {prompt}, {answer} (the passage to rewrite) and {other} (the other answer);
    empty means the prefix and the passage, as for paraphrasing."""
    refiner_max_tokens: Annotated[int, Field(ge=16, le=8192)] = 512
    """Most tokens that the refiner's model reads at once under a template."""
    refiner_temperature: Annotated[float, Field(gt=0, le=5)] = 1.8
    """Temperature of the refiner's last try; those before rise towards it."""
    batch_tokens: Annotated[int, Field(ge=0)] = 0
    """Token budget of one batch, candidates and padding included; changes speed, not texts. 0 is what suits the device:
    2,048 on a processor, 16,384 on a GPU."""
    precision: Precision = "auto"
    """Arithmetic: 'fp32', 'bf16', or 'auto': bf16 on a GPU that has it, else fp32. Under bf16 what else is in a batch
    can change a text."""
    device: str = "auto"
    """Where the model runs: 'cpu', 'cuda', or 'auto'."""

    @field_validator("refiner_template")
    @classmethod
    def _fields_of_a_template(cls, template: str) -> str:
        require_template_fields(template)
        return template


class QualityConfig(Section):
    """The quality gates of proposals: which are on, and their thresholds. A person can overrule each."""

    non_empty: bool = True
    """Gate: no text is empty."""
    not_a_copy: bool = True
    """Gate: the answers are not, case and white space aside, the source's or a variant's."""
    near_duplicate: bool = True
    """Gate: an answer at least says something that neither the source nor an earlier variant says."""
    max_variant_similarity: Annotated[float, Field(ge=-1, le=1)] = 0.99
    """From this cosine similarity on, two variants of an answer are near duplicates."""
    on_prompt: bool = True
    """Gate: answers stay about the prompt."""
    max_prompt_loss: Annotated[float, Field(ge=0, le=2)] = 0.15
    """Most by which an answer's cosine similarity to the prompt may lie below its source's."""
    fidelity: bool = True
    """Gate: paraphrases stay close to what they paraphrase."""
    min_fidelity: Annotated[float, Field(ge=-1, le=1)] = 0.8
    """Least cosine similarity of a paraphrase to the text it paraphrases."""
    numbers: bool = True
    """Gate: paraphrases keep all numbers, in digits or in words."""
    names: bool = True
    """Gate: paraphrases keep all names (capitalised words)."""
    negations: bool = True
    """Gate: paraphrases keep the number of English negations."""
    code: bool = True
    """Gate: paraphrases keep code between backticks as it is."""
    contrast: bool = True
    """Gate: the two answers stay as far apart as the source's."""
    max_contrast_loss: Annotated[float, Field(ge=0, le=2)] = 0.05
    """Most by which a proposal's distance may lie below its source's."""
    label: bool = True
    """Gate: models that never saw the source do not rank the proposal the wrong way round; sources whose label a person
    has confirmed are not judged."""
    min_label_margin: Annotated[float, Field(ge=-10, le=10)] = -0.25
    """Least out-of-fold margin of a proposal, in standard deviations of those of all pairs."""
    margin: bool = True
    """Gate: the out-of-fold margin stays near the source's."""
    max_margin_loss: Annotated[float, Field(ge=0)] = 1.0
    """Most by which a proposal's out-of-fold margin may lie below its source's, in standard deviations of those of all
    pairs."""
    judge: bool = True
    """Gate: a judge model, where there is one, does not prefer the rejected answer in both orders."""
    judge_by: JudgeName = "none"
    """Who judges for that gate: 'none', or 'chat' (judge_model under [chat]; two requests a proposal)."""
    leakage: bool = True
    """Gate: no question with its answer nearly stands in a held-out pair or evaluated benchmark."""
    max_leakage: Annotated[float, Field(gt=0, le=1)] = 0.6
    """From this share of shared passages (shingles of 16 letters) on, a text is leaked."""
    language: bool = True
    """Gate: the language stays; unsure cases pass."""
    refusals: bool = True
    """Gate: no refusal and no 'as an AI' that the source did not have (English)."""
    personal_data: bool = True
    """Gate: addresses, phone and card numbers and handles are neither added nor altered."""
    max_length_growth: Annotated[float, Field(ge=0)] = 5.0
    """Most by which composed pairs may differ more in length than their sources, chosen minus rejected, in percent of
    the mean length of an answer; beyond it composing warns."""


class ReviewConfig(Section):
    """How people share the reading of pairs and proposals."""

    order: ReviewOrder = "plan"
    """What is read first: as the 'plan' spends the budget (most first, suspects first in Check); by lowest 'margin'; by
    most expected information ('gain': what a proposal adds to the live probe's curvature beside what is accepted,
    weighed by how likely its kind is accepted); by most contrast lost ('distance'); or by chance ('random'). Check
    knows plan, margin and random. In a simulation on real pairs no order, not even gain, was shown to train a more
    accurate probe than chance at equal numbers of accepted proposals."""
    overlap_percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Share of the items that two people read, in percent, to measure agreement."""
    lease_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 10
    """How long an item is kept for the person who reads it, in minutes."""


class ComposeConfig(Section):
    """How approved variants become training pairs."""

    cumulative: bool = True
    """Keep the new pairs of earlier rounds (cumulative) or replace them."""
    vary_prompt: bool = True
    """Use the paraphrased prompt of a variant too, not only its answers."""


class EvaluateConfig(Section):
    """How reward models are compared on held-out pairs."""

    resamples: Annotated[int, Field(ge=100)] = 10_000
    """Resamples of the bootstrap intervals."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Level of the intervals."""
    calibration_bins: Annotated[int, Field(ge=2)] = 10
    """Equal-width bins of the expected calibration error."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the resampling."""


class MapConfig(Section):
    """The semantic map: where pairs lie by what they say, made once and kept."""

    neighbours: Annotated[int, Field(ge=2, le=200)] = 15
    """Neighbours UMAP looks at: few show small groups, many show the whole."""
    min_dist: Annotated[float, Field(ge=0, le=0.99)] = 0.1
    """How close UMAP may put two points; small makes dense groups."""
    fit_pairs: Annotated[int, Field(ge=15)] = 20_000
    """Most pairs that a map is fitted on; the others are placed into it."""
    clusters: Annotated[int, Field(ge=1, le=100)] = 12
    """Most clusters that are named on a map."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seed of the sample, of UMAP and of the clusters."""


def require_template_fields(template: str) -> None:
    """Raise ValueError unless a template of the refiner is empty, or has {answer} and no fields that are not known."""
    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    unknown = sorted(names - TEMPLATE_FIELDS)
    if unknown:
        raise ValueError(f"a template knows {{prompt}}, {{answer}} and {{other}}, not {{{unknown[0]}}}")
    if template and "answer" not in names:
        raise ValueError("a template needs {answer}, the passage to rewrite")


def move_thresholds_of_gates(settings: Any) -> Any:
    """Return settings with the gates' thresholds under "quality", where they stand under "propose" as they once did.

    What stands under "quality" already is kept.
    """
    if not isinstance(settings, dict) or not isinstance(settings.get("propose"), dict):
        return settings
    quality = settings.get("quality", {})
    moved = {name: value for name, value in settings["propose"].items() if name in MOVED_TO_QUALITY}
    if not moved or not isinstance(quality, dict):
        return settings
    kept = {name: value for name, value in settings["propose"].items() if name not in moved}
    return settings | {"propose": kept, "quality": moved | quality}


class MarsConfig(Section):
    """All settings of a workspace; `mars.toml` holds them."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the draws of the folds."""
    database_url: str = ""
    """Database; empty means SQLite inside the workspace, 'postgresql+psycopg://…' a server."""
    encoder: EncoderConfig = EncoderConfig()
    probe: ProbeConfig = ProbeConfig()
    reward_model: RewardModelConfig = RewardModelConfig()
    triage: TriageConfig = TriageConfig()
    allocation: AllocationConfig = AllocationConfig()
    gate: GateConfig = GateConfig()
    propose: ProposeConfig = ProposeConfig()
    seq2seq: Seq2SeqConfig = Seq2SeqConfig()
    chat: ChatConfig = ChatConfig()
    quality: QualityConfig = QualityConfig()
    review: ReviewConfig = ReviewConfig()
    compose: ComposeConfig = ComposeConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    map: MapConfig = MapConfig()

    @model_validator(mode="before")
    @classmethod
    def _older_files(cls, settings: Any) -> Any:
        return move_thresholds_of_gates(settings)


def validate_config(settings: dict[str, Any], *, origin: str) -> MarsConfig:
    """Return the configuration that `settings` describes.

    Raises:
        ConfigError: an unknown key or a value out of range; all of them are named, with `origin`.
    """
    try:
        return MarsConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(
            f"{origin} has {error.error_count()} setting(s) that cannot be used: {say_complaints(error)}",
            expected="the keys and ranges listed by 'mars init --help' and in a new mars.toml",
            remedy="correct or remove them",
        ) from error


def say_complaints(error: ValidationError) -> str:
    """Return every complaint about some settings, each with its place and what stood there."""
    complaints = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        said = item["msg"].removeprefix("Value error, ")
        said = f"{said[:1].lower()}{said[1:]}"
        if item["type"] == "string_pattern_mismatch" and (meant := _description(place)):
            said = f"it is not what is meant here: {meant[:1].lower()}{meant[1:].rstrip('.')}"
        given = "" if place.endswith(NEVER_REPEATED) else f" = {item['input']!r}"
        complaints.append(f"{place}{given}: {said}" if place else said)
    return "; ".join(complaints)


def _description(place: str) -> str:
    """Return the help of the setting that a complaint is about; empty where its place names none."""
    section, _, key = place.partition(".")
    settings = MarsConfig.model_fields.get(section)
    fields = getattr(settings.annotation, "model_fields", {}) if settings else {}
    return fields[key].description or "" if key in fields else ""


def load_config(path: Path) -> MarsConfig:
    """Read a `mars.toml`.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a setting that cannot be used.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}",
            remedy="save it as UTF-8 text, or move it away and run 'mars init' for a new one",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", remedy="correct that line") from error
    return validate_config(settings, origin=str(path))


def config_as_toml(config: MarsConfig) -> str:
    """Return the configuration as TOML, each setting under its help as a comment."""
    document = tomlkit.document()
    document.add(tomlkit.comment("Settings of this MARS workspace. Delete a line to use its default."))
    for name, field in MarsConfig.model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Section):
            document.add(tomlkit.nl())
            document.add(name, _section_as_table(value))
        else:
            document.add(tomlkit.comment(field.description or ""))
            document.add(name, value)
    return tomlkit.dumps(document)


def update_toml(text: str, config: MarsConfig) -> str:
    """Return the text of a `mars.toml` with the configuration's values, as little changed as can be.

    Comments, order and lines for settings whose value stays are kept; a setting that was not there is added under its
    help. A text that cannot be updated so is replaced by `config_as_toml`.
    """
    try:
        document = tomlkit.parse(text)
        before = MarsConfig.model_validate(document.unwrap())
        for name in MarsConfig.model_fields:
            old, new = getattr(before, name), getattr(config, name)
            if isinstance(new, Section):
                if old != new and name not in document:
                    document.add(name, tomlkit.table())
                _update(document.get(name), old, new)
            elif old != new:
                document[name] = new
        updated = tomlkit.dumps(document)
        if MarsConfig.model_validate(tomllib.loads(updated)) == config:
            return updated
    except (TOMLKitError, tomllib.TOMLDecodeError, ValidationError, AttributeError):
        pass  # it was damaged, or is written in a way that has no place for the new lines
    return config_as_toml(config)


def _update(table: Any, old: Section, new: Section) -> None:
    for key, field in type(new).model_fields.items():
        value = getattr(new, key)
        if value == getattr(old, key):
            continue
        if key not in table:
            table.add(tomlkit.comment(field.description or ""))
        table[key] = value


def _section_as_table(section: Section) -> Table:
    table = tomlkit.table()
    table.add(tomlkit.comment(inspect.cleandoc(type(section).__doc__ or "")))
    for name, field in type(section).model_fields.items():
        table.add(tomlkit.comment(field.description or ""))
        table.add(name, getattr(section, name))
    return table
