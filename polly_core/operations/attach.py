"""Attaches supplementary files: an item is a dataset and a file name."""

from pathlib import Path

from polly_core.catalog.data import check_file_name
from polly_core.catalog.ports import Reader
from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetRecord, FileRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import AttachSpec
from polly_core.models.run import Invalid, Item, Planned, Skipped, Unchanged
from polly_core.operations.base import Draft
from polly_core.operations.incoming import Incoming, Receiving
from polly_core.operations.keeping import Kept, keep
from polly_core.operations.newrow import place_of, text_of
from polly_core.operations.sidefiles import SideFile, stands, target
from polly_core.operations.transition import Transition
from polly_core.payloads.formats import infer_format
from polly_core.planning.manifest import LINK_COLUMN, PATH_COLUMN
from polly_core.transport.foreign import file_name


class Attach(Transition):
    """Attaches the file of each row; one that stands just so is left alone.

    An object of the atlas is referred to, anything else is uploaded. Where a file of that name is
    replaced, its tag and its link stay as they are unless the row says something else.
    """

    calls_to_plan = True

    def __init__(self, spec: AttachSpec, *, saved_in: Path | None = None) -> None:
        super().__init__(saved_in=saved_in)
        self._spec = spec

    def plan(
        self, reader: Reader, item: Item, record: DatasetRecord | None
    ) -> Draft | Unchanged | Skipped | Invalid:
        record = record or reader.dataset(item.dataset_id)
        listed = reader.files(item.dataset_id)
        standing = next((file for file in listed if file.file_name == item.file_name), None)
        try:
            file = _wanted(item.file_name, item.row or {}, standing)
            location = standing.file_location if standing else None
            incoming = Receiving(reader, self._fetcher).file(file.uri, standing=location)
        except InvalidInput as error:
            reason = f"{place_of(item.row)}{error}"
            return Invalid(reasons=(reason,), version_seen=record.version_id)
        if stands(file, incoming, standing):
            return Unchanged(version_seen=record.version_id)
        if standing is not None and self._spec.existing == "skip":
            return Skipped(reason="a file of that name is attached already, and is another one")
        if standing is not None and self._spec.existing == "fail":
            return Invalid(reasons=(_taken(item, standing),), version_seen=record.version_id)
        return Draft(self._planned(reader, record, file, incoming, standing), None)

    def _planned(
        self,
        reader: Reader,
        record: DatasetRecord,
        file: SideFile,
        incoming: Incoming,
        standing: FileRecord | None,
    ) -> Planned:
        kept = Kept()
        if standing is not None:
            kept = keep(reader, [standing], save_bytes=self._spec.save_bytes)
        return Planned(
            seen=record,
            attach=(target(file, incoming, standing),),
            files_before=kept.before,
            saves=kept.saves,
            side_effects=("it replaces a file",) if standing else (),
            not_recoverable=kept.not_recoverable,
        )


def _wanted(name: str, row: JsonObject, standing: FileRecord | None) -> SideFile:
    """The file as the row wants it. Raises ``InvalidInput``."""
    uri = text_of(row, PATH_COLUMN)
    if uri is None:
        raise InvalidInput(f"expected the path or URI of a file in {PATH_COLUMN}, found nothing")
    check_file_name(name)
    kind = _format(name, uri, text_of(row, "file_format"))
    tag, link = row.get("tag", ""), row.get(LINK_COLUMN)
    if tag == "":
        tag = standing.tag if standing else None
    if link is None:
        link = standing is not None and standing.derived_from is not None
    return SideFile(name, uri, kind, None if tag is None else str(tag), bool(link))


def _format(name: str, uri: str, said: str | None) -> str:
    """As the row says, else by the name it is to have, else by the one it comes with."""
    try:
        return infer_format(name, said, argument="file_format").name
    except InvalidInput:
        came_as = file_name(uri)
        if said is not None or came_as in {name, ""}:
            raise
        return infer_format(came_as, argument="file_format").name


def _taken(item: Item, standing: FileRecord) -> str:
    return (
        f"{place_of(item.row)}dataset {item.dataset_id} has another file {item.file_name!r} "
        f"already ({standing.file_location}); give it another file_name, or use --existing "
        "replace or skip"
    )
