"""A manifest row as the change: its ``metadata.*`` and ``data_type`` columns.

``metadata.organism`` sets that field, ``metadata.sample.organism`` a nested one; a cell that is
empty was left out of the row and changes nothing. In JSON lines a member ``metadata`` that holds
an object sets each of its members. Other columns change nothing.
"""

from collections.abc import Iterator

from polly_core.models.fieldpath import DATA_TYPE, FieldPath, format_field, parse_field
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.state import State

PREFIX = "metadata."


def is_patch_column(column: str) -> bool:
    """Whether a manifest's column says what is to become of the dataset."""
    return column in ("data_type", "metadata") or column.startswith(PREFIX)


def patch_fields(column: str, value: JsonValue) -> Iterator[tuple[FieldPath, JsonValue]]:
    """The fields that a cell sets, with their values.

    Raises:
        ValueError: the column's field is malformed, or ``metadata`` holds no object.
    """
    if column == "data_type":
        yield parse_field(DATA_TYPE), value
    elif column == "metadata":
        if not isinstance(value, dict):
            raise ValueError(f"expected an object in metadata, found {type(value).__name__}")
        for key, item in value.items():
            yield parse_field(format_field((key,))), item
    elif column.startswith(PREFIX):
        path = parse_field(column.removeprefix(PREFIX))
        if path.attribute is not None:
            raise ValueError(f"column {column}: expected a metadata field after {PREFIX}")
        yield path, value


def apply_row(state: State, row: JsonObject) -> State:
    """The dataset with the row's fields set.

    Raises:
        Refused: a field cannot be set on this dataset.
        ValueError: a column is malformed; reading the manifest has refused it before.
    """
    for column, value in row.items():
        for path, wanted in patch_fields(column, value):
            state = state.put(path, wanted)
    return state
