"""Datasets on the hub: the file that an export writes, its manifest and a dataset card, in one commit."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mars_engine.core.errors import MarsError
from mars_engine.core.records import ExportRow
from mars_engine.data.export import ExportWhat
from mars_engine.data.exporter import ExportShape, export_pairs
from mars_engine.embeddings.model_folder import quiet_hub

DATA_FOLDER = "data"
CARD = "README.md"
LINEAGE = "lineage.jsonl"


@dataclass(frozen=True, slots=True)
class PushResult:
    """What was sent. `commit` is the hub's id of it."""

    repository: str
    address: str
    commit: str
    rows: int
    private: bool


def data_file(what: ExportWhat) -> str:
    """Return where in a repository the pairs stand."""
    return f"{DATA_FOLDER}/{what}.parquet"


def push_pairs(
    rows: Iterable[ExportRow],
    repository: str,
    *,
    what: ExportWhat,
    shape: ExportShape,
    manifest: Mapping[str, Any],
    card: str,
    lineage: str,
    public: bool = False,
    overwrite: bool = False,
) -> PushResult:
    """Send pairs to a dataset on the hub, as Parquet, with the manifest of an export and a card.

    All arrives in one commit, or none of it. A dataset that is made for it is private unless `public`.

    Args:
        rows: the pairs, in their order.
        repository: owner/name.
        what: which pairs these are.
        shape: TRL's preference shape.
        manifest: of their lineage; see `export_pairs`.
        card: the README.
        lineage: where each new pair comes from, as JSON lines.
        public: whether all may read them.
        overwrite: whether pairs that the dataset has may be replaced.

    Raises:
        MarsError: the name is none, there is no token, the dataset exists and may not be replaced or is public, or the
            hub refuses or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    _require_repository(repository)
    _require_token()
    api = HfApi()
    with TemporaryDirectory(prefix="mars-push-") as folder:
        path = Path(folder) / data_file(what)
        path.parent.mkdir()
        written = export_pairs(rows, path, shape=shape, manifest=manifest)
        files: dict[str, Path | bytes] = {
            data_file(what): path,
            f"{DATA_FOLDER}/{written.manifest_path.name}": written.manifest_path,
            CARD: card.encode(),
            LINEAGE: lineage.encode(),
        }
        with _plain_hub_errors(repository), quiet_hub():
            place = _place(api, repository, public=public, overwrite=overwrite)
            if not place.exists:
                api.create_repo(repository, repo_type="dataset", private=place.private)
            added = [CommitOperationAdd(name, content) for name, content in files.items()]
            commit = api.create_commit(
                repository,
                [*added, *(CommitOperationDelete(name) for name in place.data_files if name not in files)],
                repo_type="dataset",
                commit_message=f"Add {written.rows:,} preference pairs ({what})",
            )
    address = f"{api.endpoint}/datasets/{repository}"
    return PushResult(repository, address, commit.oid, written.rows, place.private)


def _require_repository(repository: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repository)
        is_name = repository.count("/") == 1
    except HFValidationError:
        is_name = False
    if not is_name:
        raise MarsError(
            f"{repository!r} names no dataset on the hub",
            expected="OWNER/NAME of letters, digits, '-', '_' and '.'",
            remedy="correct --push",
        )


def _require_token() -> None:
    from huggingface_hub import get_token

    if get_token() is None:
        raise MarsError(
            "there is no token of the hub on this machine, so nothing was sent",
            expected="a token that may write",
            remedy="run 'hf auth login', or set HF_TOKEN",
        )


@dataclass(frozen=True, slots=True)
class _Place:
    exists: bool
    private: bool
    data_files: tuple[str, ...] = ()
    """Of the pairs that it has, which new ones replace."""


def _place(api: Any, repository: str, *, public: bool, overwrite: bool) -> _Place:
    """Look up the dataset; raise MarsError where it must not be written to."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.dataset_info(repository)
    except RepositoryNotFoundError:
        return _Place(exists=False, private=not public)
    if not overwrite:
        raise MarsError(
            f"the dataset {repository} exists already",
            remedy="name another one, or give --overwrite to replace its pairs",
        )
    if not found.private and not public:
        raise MarsError(
            f"the dataset {repository} is public, so all could read these pairs",
            remedy="give --public if they may, or make it private in its settings on the hub first",
        )
    names = (file.rfilename for file in found.siblings or ())
    data_files = tuple(name for name in names if name.startswith(f"{DATA_FOLDER}/"))
    return _Place(exists=True, private=bool(found.private), data_files=data_files)


@contextmanager
def _plain_hub_errors(repository: str) -> Iterator[None]:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except MarsError:
        raise
    except HfHubHTTPError as error:
        said = error.server_message or str(error).partition("\n")[0]
        raise MarsError(
            f"the hub did not take the dataset {repository}: {said}",
            remedy="check that the token may write there; if the dataset was made meanwhile, give --overwrite",
        ) from error
    except Exception as error:  # the hub client raises many unrelated kinds
        raise MarsError(
            f"the dataset {repository} could not be sent: {error}",
            remedy="check the connection; if the dataset was made meanwhile, give --overwrite",
        ) from error
