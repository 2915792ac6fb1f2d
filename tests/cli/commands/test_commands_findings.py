"""Findings on the command line: with an import, by their own command, and where the pairs are too many."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mars_engine.cli.main import mars
from mars_engine.data import import_parts
from mars_engine.data.findings import newest_findings
from mars_engine.workspace.workspace import find_workspace, open_workspace_store


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    assert run(str(tmp_path / "w"), "init").exit_code == 0
    return str(tmp_path / "w")


def run(workspace: str, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", workspace, *arguments], prog_name="mars")


@pytest.fixture
def contradicting(tmp_path: Path) -> str:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Question {n // 2}?", "chosen": "yes", "rejected": "no"} for n in range(12)]
    for row in rows[1::2]:
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_an_import_says_what_the_pairs_say_against_themselves(workspace, contradicting):
    result = run(workspace, "import", contradicting)
    assert result.exit_code == 0
    assert "What the 12 pairs say against themselves:" in result.output
    assert "12 × a pair says the reverse of another" in result.output
    assert "yes | no" in result.output
    again = json.loads(run(workspace, "import", contradicting, "--json").stdout)
    findings = {each["kind"]: each for each in again[-1]["findings"]["all"]}
    assert findings["contradictions"]["count"] == 12
    assert len(findings["contradictions"]["examples"]) == 3


def test_too_many_pairs_are_looked_through_when_asked(workspace, contradicting, monkeypatch):
    monkeypatch.setattr(import_parts, "MOST_AT_IMPORT", 5)
    result = run(workspace, "import", contradicting)
    assert "'mars findings' looks for it" in result.output
    with open_workspace_store(find_workspace(Path(workspace))) as store:
        assert newest_findings(store) is None
        assert run(workspace, "findings").exit_code == 0
        assert newest_findings(store).count("contradictions") == 12
        assert [run.kind for run in store.runs.all()] == ["findings", "import"]


def test_nothing_found_is_said_too(workspace, tmp_path):
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"prompt": "Q", "chosen": "right", "rejected": "wrong"}))
    assert "nothing was found" in run(workspace, "import", str(path)).output
    assert json.loads(run(workspace, "findings", "--json").stdout)["pairs"] == 1
