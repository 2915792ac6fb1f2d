"""One error tree. Every error says what was found, what was expected and what to do.

MarsError
├── ConfigError        a setting or a configuration file
├── WorkspaceError     a workspace folder that is missing, foreign or damaged
├── LoadError          a file or hub set that cannot be read as preference pairs
├── ModelError         weights, checkpoints and fingerprints
├── GenerationError    a generator that cannot work at all (one failed pair is a value, not an error)
├── StoreError         the database
├── ReadOnlyError      a StoreError: the database may be read, but not written
├── JobError           a background job that cannot be started or stopped
├── WorkerError        the resident worker that has the encoder, when it does not answer
└── NotReadyError      a step whose forerunner has not run yet
"""


class MarsError(Exception):
    """An error a user can act on; the command line prints it without a traceback.

    Args:
        found: what is the case, as a clause without a final full stop.
        expected: what would have been right; empty where `found` says it already.
        remedy: what to do now; empty where nothing can be advised.
    """

    def __init__(self, found: str, *, expected: str = "", remedy: str = "") -> None:
        self.found = found
        self.expected = expected
        self.remedy = remedy
        parts = [_sentence(found)]
        if expected:
            parts.append(f"Expected: {_sentence(expected)}")
        if remedy:
            parts.append(f"What to do: {_sentence(remedy)}")
        super().__init__(" ".join(parts))


def _sentence(clause: str) -> str:
    """Return a clause with its full stop; one that quotes what another program said may have one already."""
    return clause if clause.endswith((".", "!", "?")) else f"{clause}."


class ConfigError(MarsError):
    """A setting has a value that is unknown or out of its range."""


class WorkspaceError(MarsError):
    """A workspace folder is missing, not a workspace, or damaged."""


class LoadError(MarsError):
    """A source cannot be read as preference pairs; nothing of it was stored."""


class ModelError(MarsError):
    """A model's files are missing, altered or of another kind."""


class GenerationError(MarsError):
    """A generator cannot work at all, for example because its phrases cannot be read."""


class StoreError(MarsError):
    """The database cannot be opened, or refuses what was asked."""


class ReadOnlyError(StoreError):
    """The database may be read, but something was to be written."""


class JobError(MarsError):
    """A background job cannot be started, or its process ended before it began to work."""


class WorkerError(MarsError):
    """The resident worker cannot be started, ended before it answered, or took too long."""


class NotReadyError(MarsError):
    """A step was asked for before the step that it builds on."""
