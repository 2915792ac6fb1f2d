"""Standard output and error that never break the work: closed, full, or of an encoding that lacks a letter."""

import errno
import io
import json
import os
import sys
from typing import Any, TextIO


class _TolerantFile(io.FileIO):
    """Takes whatever is written to a file descriptor; `lost` is why some of it did not arrive."""

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:
        if self.lost is None:
            try:
                return super().write(data) or 0
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


class Output:
    """What became of the standard output of a process."""

    def __init__(self, file: _TolerantFile) -> None:
        self._file = file

    def trouble(self) -> str:
        """Say why a part of the output did not arrive; empty where all did, or where nobody wanted more of it."""
        if sys.stdout is not None:
            sys.stdout.flush()
        lost = self._file.lost
        return "" if lost is None or lost.errno == errno.EPIPE else str(lost.strerror or lost)


def tolerate_output() -> Output:
    """Let this process write to its standard output and error without ever failing by it.

    What cannot be written is lost, and the work goes on: a pipe that is closed ("| head -1") and a full disk hurt the
    report alone. A letter that the encoding lacks is written as its escape.
    """
    _open_closed_descriptors()
    output = _TolerantFile(1, "wb", closefd=False)
    sys.stdout = _text_over(output, sys.stdout)
    sys.stderr = _text_over(_TolerantFile(2, "wb", closefd=False), sys.stderr)
    return Output(output)


def json_text(value: Any, **options: Any) -> str:
    """Return a value as JSON that standard output or error can hold: in pure ASCII where it is not for UTF-8."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    return json.dumps(value, ensure_ascii=not encoding.startswith("utf"), **options)


def _open_closed_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed, or the database would become one of them and take what is printed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _text_over(file: _TolerantFile, stream: TextIO | None) -> io.TextIOWrapper:
    is_unbuffered = bool(getattr(stream, "write_through", False))
    return io.TextIOWrapper(
        file if is_unbuffered else io.BufferedWriter(file),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=bool(getattr(stream, "line_buffering", False)),
        write_through=is_unbuffered,
    )
