"""What a manifest's row says about a new dataset, and where the row stands."""

import json
from dataclasses import dataclass

from polly_core.catalog.envelopes import check_id
from polly_core.errors import InvalidInput
from polly_core.models.catalog import StudyId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.operations import CreateSpec
from polly_core.models.run import Item, StudyTarget
from polly_core.planning.resources import parse_document
from polly_core.planning.rowpatch import row_metadata
from polly_core.planning.values import NotAnObject, shown
from polly_core.transport.foreign import file_name
from polly_core.transport.sources import read_source

PLACE_COLUMN = "manifest_place"
"""Where an item's row stands, put there when the items were frozen."""
DATA_COLUMN, FORMAT_COLUMN = "data", "data_format"
METADATA_FILE_COLUMN = "metadata_file"


@dataclass(frozen=True, slots=True)
class NewRow:
    """A dataset as a row wants it."""

    data: str
    data_format: str | None
    data_type: str
    metadata: JsonObject
    study: StudyTarget | None
    """None where the row says nothing about it."""


def place_of(row: JsonObject | None) -> str:
    """How a row is called in messages; ends in a blank where there is something to call."""
    found = (row or {}).get(PLACE_COLUMN)
    return f"{found}: " if isinstance(found, str) and found else ""


def text_of(row: JsonObject, column: str) -> str | None:
    """A cell's text; None where it says nothing."""
    found = row.get(column)
    return found if isinstance(found, str) and found else None


def new_row(item: Item, spec: CreateSpec, problems: list[str]) -> NewRow:
    """The row with the spec's defaults. What is missing or wrong goes to ``problems``."""
    row = item.row or {}
    data = text_of(row, DATA_COLUMN)
    if data is None:
        problems.append("expected the path or URI of a data file in column data, found nothing")
    data_type = text_of(row, "data_type") or spec.data_type
    if data_type is None:
        problems.append(
            "expected a data type in column data_type, found nothing; fill it in, or give "
            "--data-type for all rows"
        )
    return NewRow(
        data=data or "",
        data_format=text_of(row, FORMAT_COLUMN),
        data_type=data_type or "",
        metadata=_metadata(row, problems),
        study=_study(row, spec, problems),
    )


def _study(row: JsonObject, spec: CreateSpec, problems: list[str]) -> StudyTarget | None:
    if "study_id" in row and row["study_id"] is None:
        return StudyTarget(study_id=None)
    study = text_of(row, "study_id") or spec.study_id
    if study is None:
        return None
    try:
        check_id(study, "study_id")
    except InvalidInput as error:
        problems.append(str(error))
    return StudyTarget(study_id=StudyId(study))


def _metadata(row: JsonObject, problems: list[str]) -> JsonObject:
    """That of the file, with the row's own fields put on it."""
    try:
        uri = text_of(row, METADATA_FILE_COLUMN)
        return row_metadata(row, _read(uri) if uri else {})
    except NotAnObject as error:
        problems.append(
            f"metadata field {'.'.join(error.keys)}: expected an object, found "
            f"{shown(error.found)}; the row sets a field inside it"
        )
    except (InvalidInput, ValueError) as error:
        problems.append(f"metadata: {error}")
    return {}


def _read(uri: str) -> JsonObject:
    found = parse_document(read_source(uri), file_name(uri))
    if not isinstance(found, dict):
        raise InvalidInput(f"{uri}: expected a JSON object, found {shown(found)}")
    # What YAML shares between places would be shared in the plan as well.
    copied: JsonObject = json.loads(json.dumps(found))
    return copied
