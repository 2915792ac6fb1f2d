"""The configuration: one model with a section for each stage.

The docstring below a setting is its only help text: the command line's `--help`, the comments of `mars.toml` and the
pages' forms are made from it.
"""

from mars_engine.core.config.align import AlignConfig, AlignMethod, PolicyTemplate, RewardCombination
from mars_engine.core.config.form_fields import Setting, section_type, settings_of
from mars_engine.core.config.generators import (
    CausalConfig,
    ChatConfig,
    Decoding,
    ProposeConfig,
    Seq2SeqConfig,
    StructuredOutput,
)
from mars_engine.core.config.mars_toml import (
    MarsConfig,
    config_as_toml,
    load_config,
    say_complaints,
    update_toml,
    validate_config,
)
from mars_engine.core.config.method import (
    LAWS,
    AllocationConfig,
    AllocationLaw,
    ComposeConfig,
    GateConfig,
    GateRule,
    JudgeConfig,
    MarginRule,
    MarginScale,
    OpinionShown,
    TriageConfig,
    TriagePolicy,
)
from mars_engine.core.config.models import (
    AUTO_LAYERS,
    PROBE_BACKBONE,
    SENTENCE_LAYERS,
    EncoderConfig,
    InputFormat,
    Precision,
    ProbeConfig,
    RewardModelConfig,
    Tracker,
)
from mars_engine.core.config.quality import QualityConfig
from mars_engine.core.config.reading import EvaluateConfig, MapConfig, ReviewConfig
from mars_engine.core.config.section import Section

__all__ = [
    "AUTO_LAYERS",
    "LAWS",
    "PROBE_BACKBONE",
    "SENTENCE_LAYERS",
    "AlignConfig",
    "AlignMethod",
    "AllocationConfig",
    "AllocationLaw",
    "CausalConfig",
    "ChatConfig",
    "ComposeConfig",
    "Decoding",
    "EncoderConfig",
    "EvaluateConfig",
    "GateConfig",
    "GateRule",
    "InputFormat",
    "JudgeConfig",
    "MapConfig",
    "MarginRule",
    "MarginScale",
    "MarsConfig",
    "OpinionShown",
    "PolicyTemplate",
    "Precision",
    "ProbeConfig",
    "ProposeConfig",
    "QualityConfig",
    "ReviewConfig",
    "RewardCombination",
    "RewardModelConfig",
    "Section",
    "Seq2SeqConfig",
    "Setting",
    "StructuredOutput",
    "Tracker",
    "TriageConfig",
    "TriagePolicy",
    "config_as_toml",
    "load_config",
    "say_complaints",
    "section_type",
    "settings_of",
    "update_toml",
    "validate_config",
]
