"""Names of fields: ``organism``, ``sample.organism.label``, ``characteristics."cell.line"``.

Keys are separated by dots. A key that holds a dot or a quote, or begins with ``@``, is written in
double quotes, in which ``\\"`` and ``\\\\`` stand for a quote and a backslash. Everything else,
spaces included, is taken as it is. Lists are atomic: there are no indexes.

Names that begin with ``@`` are attributes of the dataset itself, not of its metadata:
``@data_type`` (may be written), ``@dataset_id``, ``@study_id``, ``@last_modified_at`` (read only).

The prefix ``metadata.``, which expressions and the columns of manifests have, is refused where a
step names a field. An object that is called so within the metadata is written in quotes:
``"metadata".title``.
"""

import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

READABLE_ATTRIBUTES = ("@data_type", "@dataset_id", "@study_id", "@last_modified_at")
DATA_TYPE = "@data_type"
PREFIXED = "metadata"

_KEY = re.compile(r'"((?:[^"\\]|\\["\\])*)"|([^".][^".]*)')
_ESCAPED = re.compile(r'\\(["\\])')


class FieldPath(NamedTuple):
    """Where a value stands: an attribute of the dataset, or keys into its metadata."""

    text: str
    attribute: str | None
    keys: tuple[str, ...]


def parse_field(text: str) -> FieldPath:
    """Read a field's name.

    Raises:
        ValueError: it is empty or malformed; the message has the position.
    """
    if text.startswith("@"):
        if text not in READABLE_ATTRIBUTES:
            known = ", ".join(READABLE_ATTRIBUTES)
            raise ValueError(
                f"{text!r} is no attribute of a dataset; expected one of {known}. "
                f'A metadata key that begins with @ is written in quotes: "{text}"'
            )
        return FieldPath(text, text, ())
    keys: list[str] = []
    position = 0
    while True:
        match = _KEY.match(text, position)
        if match is None:
            raise ValueError(
                f"field {text!r}, position {position + 1}: expected a key; "
                'a key with a dot or a quote is written in quotes, as in a."b.c"'
            )
        quoted, plain = match.groups()
        keys.append(plain if quoted is None else _ESCAPED.sub(r"\1", quoted))
        position = match.end()
        if position == len(text):
            return FieldPath(text, None, tuple(keys))
        if text[position] != ".":
            raise ValueError(
                f"field {text!r}, position {position + 1}: expected a dot after a key, "
                f"found {text[position]!r}"
            )
        position += 1


def format_field(keys: Sequence[str]) -> str:
    """The name that ``parse_field`` reads as these keys, and that a step may have."""
    if len(keys) > 1 and keys[0] == PREFIXED:
        return ".".join((f'"{PREFIXED}"', *map(_quoted, keys[1:])))
    return ".".join(map(_quoted, keys))


def _quoted(key: str) -> str:
    if key and not key.startswith("@") and "." not in key and '"' not in key:
        return key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def step_field(text: str) -> FieldPath:
    """Read a field's name as a step has it.

    Raises:
        ValueError: as ``parse_field``, or it has the prefix of expressions and columns.
    """
    path = parse_field(text)
    if text.startswith(f"{PREFIXED}."):
        meant = text.removeprefix(f"{PREFIXED}.")
        raise ValueError(
            f"field {text!r}: expected a field's name without {PREFIXED}., did you mean {meant}? "
            f"A field within an object that is called {PREFIXED} is written "
            f"{format_field(path.keys)}"
        )
    return path


def _readable(text: str) -> str:
    step_field(text)
    return text


def _writable(text: str) -> str:
    attribute = step_field(text).attribute
    if attribute is not None and attribute != DATA_TYPE:
        raise ValueError(
            f"{text} cannot be changed; of a dataset's attributes only {DATA_TYPE} can"
        )
    return text


def _in_metadata(text: str) -> str:
    if step_field(text).attribute is not None:
        raise ValueError(f"expected a metadata field, found the attribute {text}")
    return text


ReadableField = Annotated[str, AfterValidator(_readable)]
"""A metadata field or an attribute of the dataset."""
WritableField = Annotated[str, AfterValidator(_writable)]
"""A metadata field or ``@data_type``."""
MetadataField = Annotated[str, AfterValidator(_in_metadata)]
"""A metadata field."""
