"""The ``data`` that a user gives: a path, an s3 location, a GCToo or an AnnData object."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from unicodedata import category

from polly_core.errors import InvalidInput
from polly_core.models.wire import MAX_FILE_NAME_LENGTH
from polly_core.payloads.formats import infer_format
from polly_core.transport.s3uri import SCHEME, parse_s3_uri

if TYPE_CHECKING:
    from anndata import AnnData
    from cmapPy.pandasGEXpress.GCToo import GCToo

    DataArgument: TypeAlias = str | os.PathLike[str] | GCToo | AnnData


@dataclass(frozen=True, slots=True)
class Stored:
    """Data that is in the object store already."""

    location: str
    data_format: str


@dataclass(frozen=True, slots=True)
class Local:
    """A local file that is to be uploaded."""

    path: Path
    data_format: str
    extension: str


@contextmanager
def open_data(data: "DataArgument", data_format: str | None) -> Iterator[Stored | Local]:
    """What is to be stored, in the format that it is or is said to be in.

    An object is written to a temporary file at full precision, gone at the end.

    Raises:
        InvalidInput: it is of no known kind, its format cannot be told, or there is no such file.
    """
    if isinstance(data, str) and data.startswith(SCHEME):
        parse_s3_uri(data)
        if data_format is None:
            raise InvalidInput(
                f"'data_format' is a required field when passing S3 uri directly (data={data!r})"
            )
        yield Stored(data, data_format)
    elif isinstance(data, str | os.PathLike):
        path = existing_file(data)
        found = infer_format(path.name, data_format)
        yield Local(path, found.name, found.extension)
    elif _is_instance(data, "cmapPy", "GCToo"):
        from polly_core.payloads.gct import write_gct

        with tempfile.TemporaryDirectory(prefix="polly-") as folder:
            path = Path(folder) / "data.gct"
            write_gct(data, path)
            yield Local(path, "gct", ".gct")
    elif _is_instance(data, "anndata", "AnnData"):
        from polly_core.payloads.h5ad import write_h5ad

        with tempfile.TemporaryDirectory(prefix="polly-") as folder:
            path = Path(folder) / "data.h5ad"
            write_h5ad(data, path)
            yield Local(path, "h5ad", ".h5ad")
    else:
        raise InvalidInput(
            f"Unsupported type ({type(data)}) for parameter 'data': expected a path, an s3:// "
            "location, a GCToo or an AnnData object"
        )


def existing_file(path: str | os.PathLike[str]) -> Path:
    """The local file of this name; a colon in it is nothing special.

    Raises:
        InvalidInput: there is none, or it is a folder.
    """
    found = Path(path).expanduser()
    if not found.is_file():
        kind = "a folder" if found.is_dir() else "nothing"
        raise InvalidInput(f"expected a file at {str(path)!r}, found {kind} (in {Path.cwd()})")
    return found


def check_file_name(name: str) -> None:
    """Raises ``InvalidInput`` for what cannot name a supplementary file (wire.md §4.6)."""
    problem = ""
    if not 1 <= len(name) <= MAX_FILE_NAME_LENGTH:
        problem = f"has {len(name)} characters, expected 1 to {MAX_FILE_NAME_LENGTH}"
    elif name in {".", ".."} or "/" in name:
        problem = "would lead out of the dataset's folder"
    elif any(category(sign) == "Cc" for sign in name):
        problem = "holds control characters"
    elif name.endswith(".versions"):
        problem = "ends in .versions, which the object store keeps for itself"
    if problem:
        raise InvalidInput(
            f"the file name {name!r} {problem}; nothing was sent. Pass another file_name"
        )


def _is_instance(data: object, package: str, name: str) -> bool:
    """Whether it is of a class, without importing the heavy package that defines it."""
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == package
        for kind in type(data).__mro__
    )
