"""Supplementary files that a manifest's row brings along.

A column ``file.<name>`` holds the path or URI of a file that is to be attached under that name. A
column ``files`` (``files:json`` in CSV and TSV) holds a list of objects with ``path`` and, where
wanted, ``name`` (else the path's last part), ``format`` (else by the name), ``tag`` and ``link``
(true: it is linked to the data, and goes when the data is replaced).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from polly_core.catalog.data import check_file_name
from polly_core.errors import InvalidInput
from polly_core.models.catalog import FileRecord
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.run import FileTarget
from polly_core.operations.incoming import Incoming, Receiving
from polly_core.payloads.formats import infer_format
from polly_core.planning.values import read_json, shown
from polly_core.transport.foreign import file_name

FILE_PREFIX, FILES_COLUMN = "file.", "files"
_MEMBERS = frozenset({"path", "name", "format", "tag", "link"})


@dataclass(frozen=True, slots=True)
class SideFile:
    """A supplementary file as a row wants it."""

    name: str
    uri: str
    file_format: str
    tag: str | None = None
    linked: bool = False


def side_files(row: JsonObject, problems: list[str]) -> list[SideFile]:
    """The files of a row. What is wrong with any of them goes to ``problems``."""
    found: dict[str, SideFile] = {}
    for place, member in _given(row, problems):
        try:
            one = _side_file(member)
        except InvalidInput as error:
            problems.append(f"{place}: {error}")
            continue
        if one.name in found:
            problems.append(f"{place}: the file name {one.name!r} is there twice; keep one")
        found.setdefault(one.name, one)
    return list(found.values())


def _given(row: JsonObject, problems: list[str]) -> Iterator[tuple[str, JsonValue]]:
    for column, value in row.items():
        if column.startswith(FILE_PREFIX):
            yield column, {"name": column.removeprefix(FILE_PREFIX), "path": value}
    try:
        listed = listed_files(row)
    except (ValueError, TypeError) as error:
        problems.append(f"{FILES_COLUMN}: {error}")
        return
    for number, member in enumerate(listed, 1):
        yield f"{FILES_COLUMN}, file {number}", member


def listed_files(row: JsonObject) -> list[JsonValue]:
    """The list in a row's ``files``; empty where there is none.

    Raises:
        ValueError: it is no JSON.
        TypeError: it is no list.
    """
    value = row.get(FILES_COLUMN)
    listed = read_json(value) if isinstance(value, str) and value else value
    if listed in (None, ""):
        return []
    if not isinstance(listed, list):
        raise TypeError(f"expected a list of objects with a path, found {shown(listed)}")
    return listed


def _side_file(member: JsonValue) -> SideFile:
    if not isinstance(member, dict):
        raise InvalidInput(f"expected an object with a path, found {shown(member)}")
    unknown = sorted(member.keys() - _MEMBERS)
    if unknown:
        raise InvalidInput(
            f"the member {unknown[0]!r} is unknown; known are {', '.join(sorted(_MEMBERS))}"
        )
    uri, link = _text(member, "path"), member.get("link") or False
    if uri is None:
        raise InvalidInput("expected a path or URI, found nothing")
    if not isinstance(link, bool):
        raise InvalidInput(f"expected true or false in link, found {shown(link)}")
    name = _text(member, "name") or file_name(uri)
    check_file_name(name)
    kind = infer_format(name, _text(member, "format"), argument="format")
    return SideFile(name, uri, kind.name, _text(member, "tag"), link)


def _text(member: JsonObject, name: str) -> str | None:
    value = member.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"expected a text in {name}, found {shown(value)}")
    return value


def received(
    files: list[SideFile],
    receiving: Receiving,
    standing: Mapping[str, FileRecord],
    problems: list[str],
) -> list[tuple[SideFile, Incoming]]:
    """The files, read and compared with those that stand under their names.

    Raises:
        StorageError: one cannot be reached for now.
    """
    found: list[tuple[SideFile, Incoming]] = []
    for file in files:
        there = standing.get(file.name)
        try:
            incoming = receiving.file(file.uri, standing=there.file_location if there else None)
        except InvalidInput as error:
            problems.append(f"file {file.name!r}: {error}")
            continue
        found.append((file, incoming))
    return found


def target(file: SideFile, incoming: Incoming, standing: FileRecord | None) -> FileTarget:
    """The file as it is to stand; what has its content already is not uploaded again."""
    kept = standing.file_location if standing and incoming.same else incoming.location
    return FileTarget(
        file_name=file.name,
        file_format=file.file_format,
        file_location=kept,
        tag=file.tag,
        linked=file.linked,
        source=None if kept else incoming.source,
    )


def stands(file: SideFile, incoming: Incoming, standing: FileRecord | None) -> bool:
    """Whether it is attached already, just as wanted."""
    return (
        standing is not None
        and incoming.same
        and (standing.file_format, standing.tag, standing.derived_from is not None)
        == (file.file_format, file.tag, file.linked)
    )
