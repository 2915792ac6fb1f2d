"""`mars import` with mappings, with shares that get no pair, and with the report of what was not used."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mars_engine.cli.main import BAD_INPUT, mars
from mars_engine.workspace.workspace import create_workspace, find_workspace, open_workspace_store


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return create_workspace(tmp_path / "w").root


def run(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mars, ["--workspace", str(workspace), "import", *arguments], prog_name="mars")


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def stored(workspace: Path) -> dict[str, int]:
    with open_workspace_store(find_workspace(workspace)) as store:
        return {"train": store.pairs.count("train"), "heldout": store.pairs.count("heldout")}


ODD = [{"question": f"q{n}", "best": f"good {n}", "worst": f"bad {n}", "a": n, "b": 2, "note": "x"} for n in range(5)]


def test_a_refusal_names_the_mapping_and_the_mapping_imports(workspace: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "odd.jsonl", ODD)
    refused = run(workspace, path)
    assert refused.exit_code == BAD_INPUT
    mapping = "prompt=question,chosen=best,rejected=worst"
    assert f"--columns {mapping}" in " ".join(refused.output.split())
    done = run(workspace, path, "--columns", mapping, "--scores", "chosen=a,rejected=b")
    assert done.exit_code == 0, done.output
    assert "4 new train pairs kept" in done.output
    assert "1  all scores are equal" in done.output
    assert "careful, in 2 rows: the scores say the reverse of the label" in done.output
    assert "note: in 4 rows, for example x" in done.output
    with open_workspace_store(find_workspace(workspace)) as store:
        pair = store.pairs.pairs("train")[0]
    assert (pair.prompt[0].content, pair.chosen, pair.rejected) == ("q0", "good 0", "bad 0")


def test_roles_are_mapped(workspace: Path, tmp_path: Path) -> None:
    def dialogue(answer: str) -> list[dict[str, str]]:
        return [{"role": "Frage", "content": "q"}, {"role": "Antwort", "content": answer}]

    path = write(tmp_path / "odd.jsonl", [{"chosen": dialogue("a"), "rejected": dialogue("b")}])
    refused = run(workspace, path)
    assert refused.exit_code == BAD_INPUT
    assert "the roles are Frage, Antwort" in " ".join(refused.output.split())
    assert "--roles" in refused.output
    assert run(workspace, path, "--roles", "Frage=user,Antwort=assistant").exit_code == 0
    assert stored(workspace)["train"] == 1


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--columns", "best"),
        ("--columns", "answer=best"),
        ("--columns", "chosen=a,chosen=b"),
        ("--roles", "human=friend"),
        ("--scores", "prompt=a"),
    ],
)
def test_a_mapping_that_is_none_is_one_line(workspace: Path, tmp_path: Path, option: str, text: str) -> None:
    result = run(workspace, write(tmp_path / "odd.jsonl", ODD), option, text)
    assert result.exit_code == BAD_INPUT
    assert "is no entry of a mapping" in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_one_prompt_in_all_rows_leaves_a_share_empty_and_says_so(workspace: Path, tmp_path: Path) -> None:
    rows = [{"prompt": "the same", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(12)]
    path = write(tmp_path / "one.jsonl", rows)
    preview = run(workspace, path, "--holdout", "0.2", "--dry-run")
    assert preview.exit_code == 0
    done = run(workspace, path, "--holdout", "0.2")
    assert done.exit_code == 0, done.output
    for result in (preview, done):
        assert "no prompt fell into the held-out share" in " ".join(result.output.split())
    assert stored(workspace) == {"train": 12, "heldout": 0}


def test_a_holdout_of_nothing_usable_is_refused_with_all_reasons(workspace: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.jsonl", [{"prompt": "q", "chosen": "same", "rejected": "same"}] * 3)
    for more in ((), ("--dry-run",)):
        result = run(workspace, path, "--holdout", "0.2", *more)
        assert result.exit_code == BAD_INPUT
        assert "3 identical sides" in " ".join(result.output.split())
    assert stored(workspace) == {"train": 0, "heldout": 0}
