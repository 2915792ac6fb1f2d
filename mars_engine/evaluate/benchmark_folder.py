"""The files of a benchmark of one model: its rewards so far, and its results as the official tool writes them."""

import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mars_engine.core.errors import WorkspaceError
from mars_engine.core.records import Rewards
from mars_engine.core.whole_file import completed_file

REWARDS = ".rewards"
"""The folder of the rewards so far; a backup leaves it out, as it does all that is hidden."""
OUTPUTS_ENDING, METADATA_ENDING = "_outputs.jsonl", ".json"
UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class BenchmarkFolder:
    """A benchmark's files in a folder, made when it is needed. A file is there whole or not at all.

    Args:
        root: the workspace's folder.
        artifact: the folder of the files, relative to it.
    """

    root: Path
    artifact: str

    @property
    def folder(self) -> Path:
        return self.root / self.artifact

    def rewards(self, group: int) -> Rewards | None:
        """Return the rewards of a benchmark's group of pairs that was scored before; None where it was not."""
        try:
            with self._group(group).open("rb") as stream, np.load(stream) as found:
                return Rewards(found["chosen"], found["rejected"])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # not there or damaged
            return None

    def save_rewards(self, group: int, rewards: Rewards) -> None:
        """Keep the rewards of a group of the benchmark's pairs.

        Raises:
            WorkspaceError: they cannot be written.
        """
        with self._written(self._group(group)) as part, part.open("wb") as stream:
            np.savez(stream, chosen=rewards.chosen, rejected=rewards.rejected)

    def forget_rewards(self) -> None:
        """Delete the rewards so far: the results that were written tell them."""
        shutil.rmtree(self.folder / REWARDS, ignore_errors=True)

    def has_results(self) -> bool:
        """Whether the benchmark's results were written."""
        return any(self.folder.glob(f"[!.]*{OUTPUTS_ENDING}"))

    def write_results(self, model: str, outputs: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any]) -> None:
        """Write `<model>_outputs.jsonl` and `<model>.json`; of owner/name, the name alone.

        Raises:
            WorkspaceError: they cannot be written.
        """
        name = UNSAFE.sub("-", model.rstrip("/").rpartition("/")[2]).strip("-.") or "model"
        with self._written(self.folder / f"{name}{METADATA_ENDING}") as part:
            part.write_text(json.dumps(metadata) + "\n", encoding="utf-8")
        with self._written(self.folder / f"{name}{OUTPUTS_ENDING}") as part, part.open("w", encoding="utf-8") as stream:
            for row in outputs:
                stream.write(json.dumps(row, default=str) + "\n")

    def evaluated_texts(self) -> Iterator[str]:
        """Yield each answer of the benchmark with its prompt, as the model read it; nothing of unreadable rows."""
        for path in sorted(self.folder.glob(f"[!.]*{OUTPUTS_ENDING}")):
            with suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8") as stream:
                for line in stream:
                    with suppress(ValueError):
                        yield from _texts_of(json.loads(line))

    def _group(self, group: int) -> Path:
        return self.folder / REWARDS / f"{group:06d}.npz"

    @contextmanager
    def _written(self, path: Path) -> Iterator[Path]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with completed_file(path) as part:
                yield part
        except OSError as error:
            raise WorkspaceError(
                f"{path} cannot be written: {error}",
                remedy="check the space on the disk and the folder's permissions; what was scored before is kept",
            ) from error


def _texts_of(row: Any) -> list[str]:
    """Return the texts that were scored, from a row of the outputs of either version of the benchmark."""
    if not isinstance(row, dict):
        return []
    found = row["text"] if isinstance(row.get("text"), list) else [row.get("text_chosen"), row.get("text_rejected")]
    return [text for text in found if isinstance(text, str)]
