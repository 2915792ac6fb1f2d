"""The configuration: what is refused and how it says so, and that mars.toml holds all of it."""

import math
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mars_engine.core.config import (
    AlignConfig,
    AllocationConfig,
    ChatConfig,
    EncoderConfig,
    MarsConfig,
    Section,
    config_as_toml,
    load_config,
    validate_config,
)
from mars_engine.core.errors import ConfigError, MarsError

DEFAULT = MarsConfig()
SECTIONS = {name: value for name in MarsConfig.model_fields if isinstance(value := getattr(DEFAULT, name), Section)}
SETTINGS = [
    (name, key, field) for name, section in SECTIONS.items() for key, field in type(section).model_fields.items()
] + [("", key, field) for key, field in MarsConfig.model_fields.items() if key not in SECTIONS]

TEMPLATES = st.text().map(lambda words: words.replace("{", "{{").replace("}", "}}") + "{answer}{other}") | st.just("")
"""Texts that a template of the refiner may be."""


def values_of(section: type[Section]) -> st.SearchStrategy[Any]:
    """A section with any values that its fields' types, their ranges and its own rule allow."""
    fields = {}
    for name, field in section.model_fields.items():
        pattern = next((each.pattern for each in field.metadata if hasattr(each, "pattern")), None)
        if pattern is not None:
            fields[name] = st.from_regex(pattern, fullmatch=True)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            fields[name] = values_of(field.annotation)
        elif name == "instructions":
            fields[name] = st.text().filter(str.strip)
        elif name == "refiner_template":
            fields[name] = TEMPLATES
        elif field.annotation is float:
            fields[name] = st.from_type(Annotated[(float, *field.metadata)]).filter(math.isfinite)
        else:
            fields[name] = st.from_type(
                Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            )
    drawn = st.fixed_dictionaries(fields)
    if section is ChatConfig:
        drawn = drawn.filter(lambda values: values["input_price"] or values["output_price"] or not values["max_cost"])
    if section is AlignConfig:  # completions that the parts share evenly
        drawn = drawn.map(lambda values: values | {"prompts_per_step": values["ppo_minibatches"]})
    return drawn.map(lambda values: section(**values))


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "mars.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# -------------------------------------------------------------------------------------------------------------- TOML


@pytest.mark.slow
@given(config=values_of(MarsConfig))
def test_any_configuration_survives_its_toml(tmp_path_factory, config: MarsConfig):
    path = written(tmp_path_factory.mktemp("config"), config_as_toml(config))
    assert load_config(path) == config


def test_the_toml_says_what_each_setting_means(tmp_path):
    lines = config_as_toml(DEFAULT).splitlines()
    for section, key, field in SETTINGS:
        start = lines.index(f"[{section}]") if section else 0
        setting = next(number for number, line in enumerate(lines) if number >= start and line.startswith(f"{key} = "))
        assert lines[setting - 1] == f"# {field.description}"
    assert load_config(written(tmp_path, "\n".join(lines))) == DEFAULT


def test_a_deleted_line_means_the_default(tmp_path):
    assert load_config(written(tmp_path, "")) == DEFAULT
    assert load_config(written(tmp_path, "[allocation]\ntau = 2\n")) == MarsConfig(allocation=AllocationConfig(tau=2.0))


@pytest.mark.parametrize(("section", "key", "field"), SETTINGS)
def test_every_setting_has_a_help_of_one_line(section, key, field):
    assert field.description, f"{section}.{key}"
    assert field.description == field.description.strip()
    assert "\n" not in field.description
    assert field.description.endswith(".")


@pytest.mark.parametrize("section", [MarsConfig, *map(type, SECTIONS.values())])
def test_every_section_says_what_it_is(section):
    assert section.__doc__
    assert section.__doc__ != Section.__doc__


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("toml", "key"),
    [
        ("sed = 1", "sed = 1"),
        ("[allocations]\ntau = 1", "allocations"),
        ("[allocation]\ntua = 1", "allocation.tua = 1"),
        ("[allocation]\ntau = -0.5", "allocation.tau = -0.5"),
        ("[allocation]\ntau = nan", "allocation.tau = nan"),
        ("[allocation]\ntau = inf", "allocation.tau = inf"),
        ("[allocation]\nlaw = 'sined'", "allocation.law = 'sined'"),
        ("[allocation]\nbudget = 2.5", "allocation.budget = 2.5"),
        ("[probe]\nl2 = -1", "probe.l2 = -1"),
        ("[probe]\nlayers = 'lowest'", "probe.layers = 'lowest'"),
        ("[probe]\nfeatures = 'both'", "probe.features"),
        ("[probe]\nl2 = inf", "probe.l2 = inf"),
        ("[triage]\nsmoothing = 0.51", "triage.smoothing = 0.51"),
        ("[triage]\nfolds = 1", "triage.folds = 1"),
        ("[gate]\nthreshold = 2.01", "gate.threshold = 2.01"),
        ("[encoder]\nmax_tokens = 15", "encoder.max_tokens = 15"),
        ("[evaluate]\nconfidence = 1", "evaluate.confidence = 1"),
        ("[compose]\ncumulative = 'perhaps'", "compose.cumulative = 'perhaps'"),
        ("encoder = 3", "encoder = 3"),
        ("seed = -1", "seed = -1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_file(tmp_path, toml, key):
    path = written(tmp_path, toml)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert key in caught.value.found
    assert str(path) in caught.value.found
    assert caught.value.expected
    assert caught.value.remedy


def test_all_unusable_settings_are_named_at_once():
    with pytest.raises(ConfigError, match="2 setting") as caught:
        validate_config({"seed": -1, "gate": {"rul": "mean"}}, origin="the command line")
    assert "seed = -1" in caught.value.found
    assert "gate.rul = 'mean'" in caught.value.found
    assert "the command line" in caught.value.found


def test_toml_that_is_not_toml_is_refused_with_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"not valid TOML.*line 2"):
        load_config(written(tmp_path, "seed = 1\n[allocation\n"))


def test_a_key_given_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(written(tmp_path, "seed = 1\nseed = 2\n"))


def test_broken_utf8_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"mars\.toml cannot be read.*utf-8"):
        load_config(written(tmp_path, b"database_url = '\xff'\n"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "mars.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_a_configuration_never_changes():
    with pytest.raises(ValidationError, match="frozen"):
        DEFAULT.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        DEFAULT.encoder.name = "other"
    assert EncoderConfig() == DEFAULT.encoder


# ------------------------------------------------------------------------------------------------------------- errors


def test_an_error_says_found_expected_and_remedy_in_one_line():
    error = MarsError("it is blue", expected="green", remedy="paint it")
    assert str(error) == "it is blue. Expected: green. What to do: paint it."
    assert str(MarsError("it is blue")) == "it is blue."
    assert str(MarsError("it is blue", remedy="paint it")) == "it is blue. What to do: paint it."


def test_every_error_of_the_engine_is_in_the_tree_that_its_module_draws():
    from mars_engine.core import errors

    kinds = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, MarsError)}
    drawn = {line.split()[1] for line in (errors.__doc__ or "").splitlines() if line[:1] in "├└" and line}
    assert kinds == drawn | {"MarsError"}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{question} {answer}", r"a template knows {prompt}, {answer} and {other}, not {question}"),
        ("Rewrite {other}", r"a template needs {answer}, the passage to rewrite"),
        ("Rewrite {answer", r"expected '}' before end of string"),
        ("{answer.__class__}", r"not {answer.__class__}"),
    ],
)
def test_a_template_of_the_refiner_that_cannot_be_filled_is_refused(template, said):
    with pytest.raises(ConfigError, match=r"seq2seq\.refiner_template") as refused:
        validate_config({"seq2seq": {"refiner_template": template}}, origin="this test")
    assert said in refused.value.found


def test_comments_of_several_paragraphs_are_not_indented():
    comments = [line for line in config_as_toml(MarsConfig()).splitlines() if line.startswith("#")]
    assert (
        "# What is left open is chosen at the warm-up, by cross-validation over prompts on the training pairs alone."
        in (comments)
    )
    assert not [line for line in comments if line.startswith("#  ")]
