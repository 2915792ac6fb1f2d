"""The settings in data/align: all can be used, and have the paper's LoRA. Plans are tested where they are read."""

import tomllib
from pathlib import Path

import pytest

from mars_engine.core.config import AlignConfig

FOLDER = Path(__file__).parents[3] / "data" / "align"
READY = sorted(path for path in FOLDER.glob("*.toml") if not path.stem.endswith("-plan"))


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_settings_can_be_used(path: Path) -> None:
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    config = AlignConfig.model_validate(found.pop("align"))
    assert not found
    assert path.stem.endswith(config.method)
    assert (config.lora_r, config.lora_alpha, config.lora_dropout) == (16, 32, 0.05)


def test_there_are_settings_for_each_policy_of_the_paper() -> None:
    policies = {tomllib.loads(path.read_text(encoding="utf-8"))["align"]["policy"] for path in READY}
    assert {"meta-llama/Llama-3.2-1B-Instruct", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"} <= policies
