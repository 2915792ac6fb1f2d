"""Pairs as training files in TRL's four preference shapes, each with a manifest of where it comes from.

The conversational shapes keep every turn and are the ones to prefer. The standard shapes have texts only: a prompt of
one user turn is its bare text, any other prompt is written like HH-RLHF ("\\n\\nHuman: …\\n\\nAssistant:"). TRL joins
prompt and response of the standard shape without a separator, so that a bare prompt and its response touch; the
implicit standard shape writes every prompt like HH-RLHF. Since a text does not always tell where a turn ends, the
standard shapes have the turns as JSON in the column `mars_prompt` as well: an import reads them from there.

No column is named `margin`: TRL reads that as a margin of the loss and changes the objective. Ours begin with `mars_`.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast, get_args

from mars_engine.core.errors import MarsError
from mars_engine.core.file_names import MANIFEST_ENDING, fault_of_name
from mars_engine.core.notebook import ShownAsTable
from mars_engine.core.plain_json import finite_or_null, turns_as_json
from mars_engine.core.records import ExportRow, Pair, Prompt
from mars_engine.core.whole_file import completed_file, read_sha256

ExportShape = Literal["standard", "standard-implicit", "conversational", "conversational-implicit"]
FILE_ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")

_SPEAKERS = {"user": "Human", "assistant": "Assistant"}
_PARQUET_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class ExportResult(ShownAsTable):
    """What was written. `sha256` is that of the data file's bytes."""

    path: Path
    manifest_path: Path
    shape: ExportShape
    rows: int
    columns: tuple[str, ...]
    sha256: str


def export_pairs(
    rows: Iterable[ExportRow],
    path: Path,
    *,
    shape: ExportShape,
    manifest: Mapping[str, Any],
    overwrite: bool = False,
) -> ExportResult:
    """Write pairs, in their order, as a training file, and its manifest beside it as `<file name>.manifest.json`.

    The rows are taken as they are written, so that more of them than fit into memory can be given one by one.

    The target appears when it is complete, or not at all. Equal rows give equal bytes. The manifest has the given
    entries (plain JSON; what is not finite becomes null) and the shape, rows, columns and SHA-256 of the file.

    Raises:
        MarsError: no rows, a file ending or shape that is not known, a target that exists and is not to be
            overwritten, a pair that the shape cannot hold, or a folder that cannot be written to.
    """
    _validate_target(path, shape, overwrite=overwrite)
    # Converted before anything is written, so that a manifest that is not plain JSON leaves no file without one.
    given = json.loads(json.dumps(finite_or_null(manifest)))
    records = _Counted(_record(row, shape) for row in rows)
    first = next(records, None)
    if first is None:
        raise MarsError("there are no pairs to export", expected="at least one")
    columns = tuple(first)
    with _export_file(path) as stream:
        _write_records(first, chain([first], records), stream, path.name.lower())
    sha256 = read_sha256(path)
    manifest_path = path.with_name(f"{path.name}{MANIFEST_ENDING}")
    facts = {"file": path.name, "shape": shape, "rows": records.count, "columns": list(columns), "sha256": sha256}
    with _export_file(manifest_path) as stream:
        stream.write(json.dumps({**given, **facts}, ensure_ascii=False, indent=2).encode() + b"\n")
    return ExportResult(path, manifest_path, shape, records.count, columns, sha256)


def export_dataset(rows: Iterable[ExportRow], *, shape: ExportShape) -> Any:
    """Return pairs, in their order, as a `datasets.Dataset` with the columns and types of an exported file.

    Raises:
        MarsError: no rows, a shape that is not known, or a pair that the shape cannot hold.
    """
    import datasets
    import pyarrow as pa

    _validate_shape(shape)
    records = [_record(row, shape) for row in rows]
    if not records:
        raise MarsError("there are no pairs to export", expected="at least one")
    return datasets.Dataset(pa.Table.from_pylist(records, schema=_schema(records[0])))


class _Counted(Iterator[dict[str, Any]]):
    """Counts what it hands on, so that rows need not all be in memory to be counted."""

    def __init__(self, records: Iterator[dict[str, Any]]) -> None:
        self.records, self.count = records, 0

    def __next__(self) -> dict[str, Any]:
        record = next(self.records)
        self.count += 1
        return record


def _validate_target(path: Path, shape: str, *, overwrite: bool) -> None:
    _validate_shape(shape)
    if not path.name.lower().endswith(FILE_ENDINGS):
        raise MarsError(f"{path} has no file ending that is known", expected=f"one of {', '.join(FILE_ENDINGS)}")
    if fault := fault_of_name(path, suffix=MANIFEST_ENDING):
        raise MarsError(fault, remedy="choose another name")
    if path.exists() and not (overwrite and path.is_file()):
        raise MarsError(f"{path} exists already", remedy="name another file, or ask to overwrite it")


def _validate_shape(shape: str) -> None:
    if shape not in get_args(ExportShape):
        raise MarsError(f"there is no export shape {shape!r}", expected=f"one of {', '.join(get_args(ExportShape))}")


def _record(row: ExportRow, shape: ExportShape) -> dict[str, Any]:
    turns = {"mars_prompt": json.dumps(turns_as_json(row.pair.prompt), ensure_ascii=False)}
    return {
        **_texts(row.pair, shape),
        **(turns if shape.startswith("standard") else {}),
        "mars_margin": finite_or_null(row.margin),
        "mars_round": row.round,
        "mars_source_id": row.source_id,
        "mars_method": row.method,
        "mars_semantic_distance": finite_or_null(row.semantic_distance),
        "mars_weight": row.weight,
    }


def _texts(pair: Pair, shape: ExportShape) -> dict[str, Any]:
    if shape == "standard-implicit":
        before = opening(pair.prompt)
        return {"chosen": before + pair.chosen, "rejected": before + pair.rejected}
    turns = turns_as_json(pair.prompt)
    chosen, rejected = _answer(pair.chosen), _answer(pair.rejected)
    if shape == "conversational-implicit":
        return {"chosen": [*turns, *chosen], "rejected": [*turns, *rejected]}
    if not turns:
        raise MarsError(
            f"pair {pair.id} has no prompt, and the shape {shape!r} needs one",
            remedy=f"export the shape '{shape}-implicit', or leave the pair out",
        )
    if shape == "conversational":
        return {"prompt": turns, "chosen": chosen, "rejected": rejected}
    return {"prompt": prompt_as_text(pair.prompt), "chosen": pair.chosen, "rejected": pair.rejected}


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def prompt_as_text(prompt: Prompt) -> str:
    """Return a prompt as the standard shape writes it: one user turn as it is, anything else like HH-RLHF."""
    if len(prompt) == 1 and prompt[0].role == "user":
        return prompt[0].content
    return _as_dialogue(prompt)


def opening(prompt: Prompt) -> str:
    """Return what the implicit standard shape writes before a response: the prompt like HH-RLHF, if there is one."""
    return f"{_as_dialogue(prompt)} " if prompt else ""


def _as_dialogue(prompt: Prompt) -> str:
    turns = (f"\n\n{_SPEAKERS.get(turn.role, turn.role.capitalize())}: {turn.content}" for turn in prompt)
    return "".join(turns) + "\n\nAssistant:"


def _write_records(first: Mapping[str, Any], records: Iterable[dict[str, Any]], stream: BinaryIO, name: str) -> None:
    if name.endswith(".parquet"):
        _write_parquet(first, records, stream)
    elif name.endswith(".gz"):
        # Neither a name nor a time inside, so that equal rows give equal bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
            packed.writelines(_json_lines(records))
    else:
        stream.writelines(_json_lines(records))


def _json_lines(records: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    return (json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n" for record in records)


def _write_parquet(first: Mapping[str, Any], records: Iterable[dict[str, Any]], stream: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(first)
    with pq.ParquetWriter(stream, schema) as writer:
        remaining = iter(records)
        while part := list(islice(remaining, _PARQUET_BATCH_ROWS)):
            writer.write_batch(pa.RecordBatch.from_pylist(part, schema=schema))


def _schema(first: Mapping[str, Any]) -> Any:
    """Return the columns' types by the first record: a margin that is not known anywhere is a number all the same."""
    import pyarrow as pa

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    types = {"mars_margin": pa.float64(), "mars_semantic_distance": pa.float64(), "mars_weight": pa.float64()}
    types |= {"mars_round": pa.int64()}
    return pa.schema(
        [(name, turns if isinstance(value, list) else types.get(name, pa.string())) for name, value in first.items()]
    )


@contextmanager
def _export_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears at `path` when all is written."""
    try:
        with completed_file(path) as part, part.open("xb") as stream:
            yield cast("BinaryIO", stream)
    except OSError as error:
        raise MarsError(f"{path} cannot be written: {error}", remedy="check the folder and the space left") from error
    except UnicodeEncodeError as error:
        raise MarsError(f"a text cannot be written as UTF-8: {error}", remedy="leave out the pair it is of") from error
