"""A model that a generator's settings name: its files, looked up or downloaded when they are needed."""

from functools import cached_property
from pathlib import Path

from mars_engine.core.progress import Progress
from mars_engine.embeddings.model_folder import find_model_folder, fingerprint_folder, is_on_this_machine

NOT_HERE = "not on this machine yet; the next proposing downloads them"


class GeneratorModel:
    """A model's name, fingerprint and folder.

    Args:
        name: its folder or hub id, or the name of a packaged one.
        kind: what kind of model it is, as errors say it.
        setting: where it is named, as errors say it.
        progress: shows a download.
        may_download: whether a hub id may be downloaded; where not, the fingerprint of what is not there says so.

    Raises:
        ModelError: at first use, when there is no such model.
    """

    def __init__(self, name: str, *, kind: str, setting: str, progress: Progress, may_download: bool) -> None:
        self.name, self._kind, self._setting = name, kind, setting
        self._progress, self._may_download = progress, may_download

    @property
    def short_name(self) -> str:
        """A generator's model by its hub id or its folder's name: the same model elsewhere has the same."""
        path = Path(self.name).expanduser()
        return path.resolve().name if path.is_dir() else self.name

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the files of the model that a generator's settings name, first 24 digits."""
        if not self._may_download and not is_on_this_machine(self.name):
            return NOT_HERE
        return fingerprint_folder(self.folder)

    @cached_property
    def folder(self) -> Path:
        """The folder of the generator's model; a hub id that is not on this machine is downloaded."""
        if is_on_this_machine(self.name):
            return self._find()
        with self._progress.task(f"download {self.name}", 1) as task:
            folder = self._find()
            task.advance()
        return folder

    def _find(self) -> Path:
        return find_model_folder(
            self.name,
            purpose=self._kind,
            expected=f"a folder with a {self._kind}, or a hub id such as owner/name",
            setting=self._setting,
        )
