"""What a file really holds, told by its first bytes, and how to open it."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast

from polly_core.errors import PayloadError
from polly_core.models.jsonvalue import Model

_GZIP_MAGIC = b"\x1f\x8b"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
UTF8_BOM = b"\xef\xbb\xbf"


class Kind(StrEnum):
    """What the content is, whatever the name says."""

    EMPTY = "empty"
    GCT = "gct"
    HDF5 = "hdf5"
    OTHER = "other"


class Content(Model):
    """The kind of a file's content, and whether it is gzipped."""

    kind: Kind
    gzipped: bool

    def __str__(self) -> str:
        what = {
            Kind.EMPTY: "nothing",
            Kind.GCT: "GCT text",
            Kind.HDF5: "HDF5",
            Kind.OTHER: "neither GCT text nor HDF5",
        }[self.kind]
        return f"{what}, gzipped" if self.gzipped else what


def content_of(path: Path) -> Content:
    """What the file holds. Only its first bytes are read.

    Raises:
        PayloadError: the file cannot be read.
    """
    with open_payload(path) as (stream, gzipped):
        start = stream.read(16)
    if not start:
        kind = Kind.EMPTY
    elif start.startswith(_HDF5_MAGIC):
        kind = Kind.HDF5
    elif start.removeprefix(UTF8_BOM).startswith((b"#1.2", b"#1.3")):
        kind = Kind.GCT
    else:
        kind = Kind.OTHER
    return Content(kind=kind, gzipped=gzipped)


@contextmanager
def open_payload(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """The bytes of a file, unpacked where it is gzipped, and whether it is.

    gzip is told by the content, since downloads may be stored under any name.

    Raises:
        PayloadError: the file cannot be read, or its gzip stream is damaged or cut short; also
            when that shows only while reading inside the ``with`` block.
    """
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if gzipped:
                with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                    yield cast(BinaryIO, unpacked), True
            else:
                yield raw, False
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise PayloadError(
            f"{path}: the gzip stream is damaged or cut short ({error}); get the file again"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise PayloadError(f"{path}: cannot be read: {reason}") from error
