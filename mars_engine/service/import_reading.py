"""What to import and how, as one request: read for a preview in a process of its own, then imported by a job."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mars_engine.core.errors import LoadError
from mars_engine.core.import_records import ColumnExample, SourceColumns, import_report_from_plain
from mars_engine.core.records import Pair, Turn
from mars_engine.data.demo_pairs import DEMO
from mars_engine.data.import_pairs import ImportPreview
from mars_engine.data.loaders import FORMAT_NAMES
from mars_engine.jobs.own_process import ask_mars

__all__ = ["FORMAT_NAMES", "ImportRequest", "Part", "hub_location", "read_columns", "read_preview"]

Part = Literal["train", "heldout", "both"]
"""Where the pairs go: all to be trained on, all held out, or a share of the prompts held out."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.+-]+)?(@[\w.+-]+)?(#[\w./+-]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A source, where its pairs go, and how it is read."""

    location: str
    part: Part = "train"
    holdout: float = 0.2
    """Share of the prompts that is held out, where `part` is "both"."""
    format: str = ""
    """One of FORMAT_NAMES; empty for the one that is recognised."""
    preference: str = "better"
    """Which of PKU-SafeRLHF's labels decides: "better" or "safer"."""
    columns: str = ""
    """A mapping as the command's --columns takes it; so are `roles` and `scores`."""
    roles: str = ""
    scores: str = ""
    against: str = "worst"
    """Of ranked answers: the best against the worst, or against the others."""
    deciding: str = "ratings"
    """Of UltraFeedback's scores: the mean of the ratings, or the overall score."""

    def command(self, *, dry_run: bool = False) -> list[str]:
        """Return what the app runs for the request: the arguments of `mars`."""
        options = ["--dry-run"] if dry_run else []
        if self.location != DEMO:
            options += ["--holdout", str(self.holdout)] if self.part == "both" else ["--split", self.part]
            options += ["--format", self.format] if self.format else []
            options += ["--preference", self.preference]
            for name, mapping in (("columns", self.columns), ("roles", self.roles), ("scores", self.scores)):
                options += [f"--{name}", mapping] if mapping else []
            options += ["--against", self.against] if self.against != "worst" else []
            options += ["--deciding-score", self.deciding] if self.deciding != "ratings" else []
        return ["import", *options, "--", self.location]


def hub_location(name: str) -> str:
    """Return the location of a hub set that was named in the app.

    Raises:
        LoadError: it is not of the form owner/name[:subset][@split][#revision]; a folder of the server is not.
    """
    if not _HUB_NAME.fullmatch(name):
        raise LoadError(
            f"{name!r} does not name a set on the hub",
            expected="owner/name, owner/name@split or owner/name:subset@split#revision",
        )
    return f"hub:{name}"


def read_preview(root: Path, request: ImportRequest) -> list[ImportPreview]:
    """Read a source for the app's preview, and return what an import would keep; nothing is stored.

    A hub set is downloaded for it. The training part comes before the held-out part.

    Raises:
        MarsError: the source cannot be read as preference pairs.
    """
    return [_preview(each) for each in ask_mars(root, request.command(dry_run=True))]


def read_columns(root: Path, location: str) -> SourceColumns:
    """Return the columns of a source for the app to map, read in a process of its own.

    Raises:
        MarsError: the source cannot be read.
    """
    plain = ask_mars(root, ["import", "--list-columns", "--", location])
    columns = tuple(ColumnExample(**each) for each in plain["columns"])
    return SourceColumns(columns, tuple(plain["roles"]), plain["suggested"])


def _preview(plain: Mapping[str, Any]) -> ImportPreview:
    pairs = [dict(each) | {"prompt": tuple(Turn(**turn) for turn in each["prompt"])} for each in plain["first"]]
    return ImportPreview(import_report_from_plain(plain["report"]), tuple(Pair(**each) for each in pairs))
