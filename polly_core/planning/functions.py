"""Functions for the step ``call`` that many curators need.

They are called like anyone's: the operator allows the module with
``POLLY_ALLOWED_MODULES='["polly_core.planning.functions"]'``, and a change says, for instance::

    - call: polly_core.planning.functions:repair_encoding
      field: abstract
"""

import re

from polly_core.models.jsonvalue import JsonValue
from polly_core.planning.calling import DatasetView

_MAX_LAYERS = 4
# What the bytes 0x80 to 0xBF look like in Latin-1 and in Windows-1252.
_FOLLOWING = (
    "[\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d"
    "\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]"
)
_BROKEN = re.compile(
    # Latin, then Greek letters; punctuation; everything beyond.
    f"[\u00c2\u00c3\u00ce\u00cf]{_FOLLOWING}|\u00e2{_FOLLOWING}{{2}}|\u00f0{_FOLLOWING}{{3}}"
    # Characters that only Windows-1252 has: they stand for a byte of an inner layer.
    "|\u00c5[\u0092\u0093\u00a0\u00a1\u00b8\u00bd\u00be]|\u00c6\u0092|\u00cb[\u0086\u009c]"
)


def repair_encoding(value: JsonValue, dataset: DatasetView | None = None) -> JsonValue:
    """Text whose UTF-8 was read as Latin-1 or Windows-1252, once or several times, as it was meant.

    ``Âµ`` becomes ``µ``, ``Ã¼`` becomes ``ü``. Only sequences that are valid UTF-8 are replaced;
    text that was right stays as it is. Elements of lists are repaired one by one.
    """
    del dataset
    if isinstance(value, list):
        return [repair_encoding(item) for item in value]
    if not isinstance(value, str) or value.isascii():
        return value
    text = value
    for _ in range(_MAX_LAYERS):
        repaired = _BROKEN.sub(_decoded, text)
        if repaired == text:
            break
        text = repaired
    return text


def _decoded(match: re.Match[str]) -> str:
    try:
        return bytes(map(_byte, match[0])).decode("utf-8")
    except UnicodeDecodeError:
        return match[0]


def _byte(character: str) -> int:
    # Five bytes have no character in Windows-1252 and were passed through as they are.
    code = ord(character)
    return code if code < 0x100 else character.encode("cp1252")[0]


def split_text(
    value: JsonValue, dataset: DatasetView | None = None, *, separator: str = "|"
) -> JsonValue:
    """A text as a list of its parts without surrounding space; empty parts are left out."""
    del dataset
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(separator) if part.strip()]
