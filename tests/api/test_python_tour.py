"""docs/python.md: its blocks run in order, as a reader would run them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.model
def test_the_tour_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 7
    names: dict[str, object] = {"folder": tmp_path}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)  # noqa: S102 (our own page)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert len(names["dataset"]) > len(names["train"])  # type: ignore[arg-type]
