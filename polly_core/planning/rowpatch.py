"""A manifest row as the change: its ``metadata.*`` and ``data_type`` columns.

``metadata.organism`` sets that field, ``metadata.sample.organism`` a nested one; a cell that is
empty was left out of the row and changes nothing. In JSON lines a member ``metadata`` that holds
an object sets each of its members. What marks in cells mean stands in
``polly_core.planning.cells``. Other columns change nothing.
"""

from collections.abc import Iterator

from polly_core.models.fieldpath import DATA_TYPE, FieldPath, format_field, parse_field
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.cells import DELETE, Meaning, meaning
from polly_core.planning.state import State
from polly_core.planning.values import drop_field, put_field, shown

PREFIX = "metadata."


def is_patch_column(column: str) -> bool:
    """Whether a manifest's column says what is to become of the dataset."""
    return column in ("data_type", "metadata") or column.startswith(PREFIX)


def patch_fields(column: str, value: JsonValue) -> Iterator[tuple[FieldPath, Meaning]]:
    """The fields that a cell sets or removes, with what they are to be.

    Raises:
        ValueError: the column's field is malformed, ``metadata`` holds no object, or a text is
            almost a mark.
    """
    if column == "data_type":
        yield parse_field(DATA_TYPE), value
    elif column == "metadata":
        if not isinstance(value, dict):
            raise ValueError(f"expected an object in metadata, found {shown(value)}")
        for key, item in value.items():
            yield parse_field(format_field((key,))), meaning(item)
    elif column.startswith(PREFIX):
        path = parse_field(column.removeprefix(PREFIX))
        if path.attribute is not None:
            raise ValueError(f"column {column}: expected a metadata field after {PREFIX}")
        yield path, meaning(value)


def row_fields(row: JsonObject) -> Iterator[tuple[FieldPath, Meaning]]:
    """The fields that a row sets or removes, with what they are to be.

    Raises:
        ValueError: a column is malformed; reading the manifest has refused it before.
    """
    for column, value in row.items():
        yield from patch_fields(column, value)


def apply_row(state: State, row: JsonObject) -> State:
    """The dataset with the row's fields set and removed.

    Raises:
        Refused: a field cannot be set on this dataset.
        ValueError: a column is malformed; reading the manifest has refused it before.
    """
    for path, wanted in row_fields(row):
        state = put_meaning(state, path, wanted)
    return state


def put_meaning(state: State, path: FieldPath, wanted: Meaning) -> State:
    """The dataset with the field set or removed. Raises ``Refused``."""
    return state.drop(path) if wanted is DELETE else state.put(path, wanted)


def row_metadata(row: JsonObject, metadata: JsonObject | None = None) -> JsonObject:
    """The metadata of a new dataset: that given, or none, with the row's fields put on it.

    Raises:
        NotAnObject: a field lies within one that holds no object.
        ValueError: a column is malformed; reading the manifest has refused it before.
    """
    result: JsonObject = metadata or {}
    for path, wanted in row_fields(row):
        if path.attribute is None:
            if wanted is DELETE:
                result = drop_field(result, path.keys)
            else:
                result = put_field(result, path.keys, wanted)
    return result
