"""Rows of a manifest, made independent of where it stands: files by full path, and the place."""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from polly_core.engine.builders.base import Enrich, Found
from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.selection import Selection, SelectionKind
from polly_core.operations.newrow import (
    DATA_COLUMN,
    METADATA_FILE_COLUMN,
    PLACE_COLUMN,
)
from polly_core.operations.sidefiles import FILE_PREFIX, FILES_COLUMN, listed_files
from polly_core.planning.manifest import PATH_COLUMN
from polly_core.transport.foreign import file_name, local_path
from polly_core.transport.sources import absolute, beside

Resolve = Callable[[str], str]
_WITH_ROWS = frozenset({SelectionKind.MANIFEST, SelectionKind.FAILURES})


def with_rows(selection: Selection, wanted: str) -> None:
    """Raises ``InvalidInput`` where the selection brings no rows of a manifest."""
    if selection.kind not in _WITH_ROWS:
        raise InvalidInput(f"nothing says what is to be {wanted}")


def placed(selection: Selection, *, having: str | None = None) -> Enrich:
    """Gives rows that name files their full paths, and says where each row stands.

    Done while items are frozen: a report, a resume on another machine and the next run of what
    failed need not know where the manifest was.

    Args:
        having: only of rows with this column; others stay as they are.
    """
    manifest = selection.manifest_uri

    def resolve(name: str) -> str:
        return _resolved(manifest, name)

    def enrich(found: Sequence[Found]) -> Sequence[Found]:
        return [
            replace(one, row=_placed(one, one.row, manifest, resolve))
            if one.row is not None and (having is None or having in one.row)
            else one
            for one in found
        ]

    return enrich


def _placed(one: Found, given: JsonObject, manifest: str | None, resolve: Resolve) -> JsonObject:
    row = {name: _cell(name, value, resolve) for name, value in given.items()}
    files = _files(row, resolve)
    if files is not None:
        row[FILES_COLUMN] = files
    if one.line is not None and manifest is not None:
        unit = "row" if manifest.lower().endswith(".parquet") else "line"
        row[PLACE_COLUMN] = f"{file_name(manifest)} {unit} {one.line}"
    return row


def _cell(name: str, value: JsonValue, resolve: Resolve) -> JsonValue:
    is_path = name in (DATA_COLUMN, METADATA_FILE_COLUMN, PATH_COLUMN) or name.startswith(
        FILE_PREFIX
    )
    return resolve(value) if is_path and isinstance(value, str) and value else value


def _files(row: JsonObject, resolve: Resolve) -> list[JsonValue] | None:
    """The list of files with full paths; None where there is none, or it will be refused."""
    try:
        listed = listed_files(row)
    except (ValueError, TypeError):
        return None
    return [_member(one, resolve) for one in listed] or None


def _member(member: JsonValue, resolve: Resolve) -> JsonValue:
    if not isinstance(member, dict) or not isinstance(member.get("path"), str):
        return member
    path = member["path"]
    assert isinstance(path, str)
    return {**member, "path": resolve(path)}


def _resolved(manifest: str | None, name: str) -> str:
    if manifest is None or local_path(name) is None or Path(name).expanduser().is_absolute():
        return absolute(name)
    parts = urlsplit(manifest)
    if parts.scheme != "s3":
        return absolute(beside(manifest, name))
    # Keys of a URI are percent-encoded, and know no parent folders.
    folder = parts.path.rpartition("/")[0]
    return f"s3://{parts.netloc}{posixpath.normpath(f'{folder}/{quote(name)}')}"
