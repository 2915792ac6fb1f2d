"""The label history as a file."""

from dataclasses import dataclass
from pathlib import Path

from mars_engine.assembly.whole_file import completed_file
from mars_engine.words.errors import MarsError, WorkspaceError
from mars_engine.words.protocols import Store
from mars_engine.workflows.history import HistoryFormat, label_history, write_history

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
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise MarsError(f"{path} has no ending that is known", expected=f"one of {', '.join(FORMS)}")
    if path.exists() and not overwrite:
        raise MarsError(f"{path} exists already", remedy="name another file, or ask to overwrite it")
    try:
        # The csv module ends lines itself.
        with completed_file(path) as part, part.open("x", encoding="utf-8", newline="") as stream:
            events = write_history(label_history(store), stream, form)
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be written: {error}", remedy="check its folder and the space on the disk"
        ) from error
    return LabelFile(path, events)
