"""What the demo told, kept with its workspace, so that a second run shows it without loading anything."""

from pathlib import Path

from mars_engine.cli.frame import as_plain
from mars_engine.cli.standard_streams import json_text
from mars_engine.core.whole_file import completed_file
from mars_engine.workspace.workspace import ARTIFACTS

TOLD, REPORT = "demo.txt", "demo.json"


def keep_demo(root: Path, report: object, told: str) -> None:
    """Keep what the demo told with the workspace, for a second run."""
    for name, text in ((REPORT, json_text(as_plain(report), indent=2)), (TOLD, told)):
        with completed_file(root / ARTIFACTS / name) as part:
            part.write_text(text, encoding="utf-8")


def kept_demo(root: Path) -> tuple[str, str] | None:
    """Return the report as JSON and what was told of it; None where the demo was not played to its end there."""
    paths = [root / ARTIFACTS / name for name in (REPORT, TOLD)]
    if not all(path.is_file() for path in paths):
        return None
    report, told = (path.read_text("utf-8") for path in paths)
    return report, told
