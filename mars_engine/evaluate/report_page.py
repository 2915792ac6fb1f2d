"""The report as one HTML file: it needs nothing from elsewhere, runs nothing, and prints."""

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from mars_engine import __version__
from mars_engine.core.clock import Clock
from mars_engine.core.config import MarsConfig
from mars_engine.core.errors import MarsError
from mars_engine.core.file_names import fault_of_name
from mars_engine.core.whole_file import completed_file
from mars_engine.data.pair_index import PairIndex
from mars_engine.embeddings.maps.protocols import MapKeeper
from mars_engine.evaluate import report_charts
from mars_engine.evaluate.report import ReportContent, gather_report
from mars_engine.evaluate.results import say_accuracy, say_comparison, say_log_loss, signed_points
from mars_engine.evaluate.story import tell
from mars_engine.store import Store

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = Path(__file__).with_name("report.html.j2")
LONGEST_TEXT = 2_000
"""Characters of a text that the report shows."""
WORDS = re.compile(r"\w+|\s+|[^\w\s]")
"""Words, spaces and signs, which together are the text."""

PACKAGES = ("numpy", "scikit-learn", "sentence-transformers", "torch", "transformers", "streamlit", "sqlalchemy")


@dataclass(frozen=True, slots=True)
class CutText:
    """A text as the report shows it: whole, or its beginning."""

    shown: str
    left_out: int
    """Characters that follow."""


def report_html(
    store: Store,
    index: PairIndex,
    model_ids: Sequence[str] = (),
    *,
    root: Path,
    config: MarsConfig,
    clock: Clock,
    maps: MapKeeper | None = None,
) -> str:
    """Gather and render the report of a workspace.

    Args:
        store: the workspace's memory.
        index: its pairs.
        model_ids: the models to compare; the newest warm-up and the newest model where it is empty.
        root: the workspace's folder, whose name the report bears.
        config: its settings.
        clock: tells when.
        maps: has the maps of the pairs, if any.

    Raises:
        NotReadyError: nothing has been imported.
    """
    content = gather_report(
        store,
        index,
        workspace=root.resolve().name,
        config=config,
        versions=software_versions(),
        clock=clock,
        model_ids=model_ids,
        maps=maps,
    )
    return render_report(content)


def render_report(content: ReportContent) -> str:
    """Return the report as HTML. Every text is escaped, so nothing in it is interpreted."""
    return report_template(TEMPLATE).render(content=content, steps=tell(content), charts=report_charts)


def write_report(html: str, path: Path, *, overwrite: bool) -> Path:
    """Write the report, whole or not at all.

    Raises:
        MarsError: the file exists and is not to be overwritten, or the folder cannot be written.
    """
    if fault := fault_of_name(path):
        raise MarsError(fault, remedy="choose another name")
    if path.exists() and not (overwrite and path.is_file()):
        raise MarsError(f"{path} exists already", remedy="name another file, or ask to overwrite it")
    try:
        with completed_file(path) as part:
            part.write_text(html, encoding="utf-8")
    except OSError as error:
        raise MarsError(f"{path} cannot be written: {error}", remedy="check the folder and its permissions") from error
    return path


def software_versions() -> dict[str, str]:
    """Return the versions of MARS, Python and what figures depend on; nothing is imported."""
    versions = {"MARS": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def cut_text(text: str) -> CutText:
    """Return the beginning of a text, as a report shows it, and how much follows."""
    return CutText(text[:LONGEST_TEXT], max(0, len(text) - LONGEST_TEXT))


def mark_changes(text: str, before: str) -> list[tuple[bool, str]]:
    """Return a text in parts for a report, word by word, each with whether the text before lacks it."""
    words, known = (WORDS.findall(each) for each in (text, before))
    steps = SequenceMatcher(None, known, words, autojunk=False).get_opcodes()
    return [(step != "equal", "".join(words[start:end])) for step, _, _, start, end in steps if end > start]


@cache
def report_template(path: Path) -> "Template":
    """Return a template, with the style and the filters that reports share."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([path.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "percent": lambda share: f"{share:.1%}",
        "margin": lambda value: f"{value:+.3f}".replace("-", "−"),
        "points": signed_points,
        "cut": cut_text,
        "changes": mark_changes,
        "say_accuracy": say_accuracy,
        "say_comparison": say_comparison,
        "say_log_loss": say_log_loss,
    }
    return environment.get_template(path.name)
