"""The label history as a file."""

from dataclasses import dataclass
from pathlib import Path

from mars_engine.core.whole_file import completed_text
from mars_engine.curate.history import HistoryFormat, label_history, write_history
from mars_engine.store import Store

FORMS: dict[str, HistoryFormat] = {".csv": "csv", ".jsonl": "jsonl"}


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file with the label history, and how many events it has."""

    path: Path
    events: int


def write_label_history(store: Store, path: Path, *, overwrite: bool = False) -> LabelFile:
    """Write the label history to a file, whole or not at all; without any decision, it is an empty one.

    Raises:
        MarsError: the ending is none of FORMS, or the file exists and is not to be overwritten.
        WorkspaceError: it cannot be written.
    """
    with completed_text(path, endings=FORMS, overwrite=overwrite) as stream:
        events = write_history(label_history(store), stream, FORMS[path.suffix.lower()])
    return LabelFile(path, events)
