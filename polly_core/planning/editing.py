"""A sheet that was exported, edited and is read again: only what was edited counts.

The row carries the version it was exported from. Each cell is compared with that version: one that
says the same was not edited, and changes nothing whatever the dataset holds by now. An edited cell
is done where the dataset still holds what was exported. Where somebody else has changed that field
since, the item is refused and says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from polly_core.models.catalog import VersionId
from polly_core.models.fieldpath import FieldPath, format_field
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.casting import looks_like_a_number
from polly_core.planning.cells import DELETE, Meaning
from polly_core.planning.rowpatch import row_fields
from polly_core.planning.state import State
from polly_core.planning.values import ABSENT, MaybeJson, get_field, same, shown

BASE_COLUMN = "base_version"
# Spreadsheets show ten digits and more of a long number, and keep fifteen.
_ROUNDED_DIGITS = 10
_KEPT_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Base:
    """The version that a row was exported from."""

    version_id: VersionId
    metadata: JsonObject
    data_type: str
    data_location: str = ""


@dataclass(frozen=True, slots=True)
class Edits:
    """What was edited, field by field, and what of it cannot be done."""

    fields: tuple[tuple[FieldPath, Meaning], ...]
    problems: tuple[str, ...]


def base_version(row: JsonObject | None) -> VersionId | None:
    """The version that a row was exported from, where it says one."""
    found = (row or {}).get(BASE_COLUMN)
    return VersionId(found) if isinstance(found, str) and found else None


def edits_of(row: JsonObject, base: Base, state: State) -> Edits:
    """The cells of the row that say something else than its base, compared with the dataset as it
    stands. Objects are compared member by member.

    Raises:
        ValueError: a column is malformed; reading the manifest has refused it before.
    """
    fields: list[tuple[FieldPath, Meaning]] = []
    problems: list[str] = []
    for path, wanted in row_fields(row):
        for edit in _compared(path, wanted, base, state):
            problem = _problem(edit, base)
            if problem is not None:
                problems.append(problem)
            elif not _equal(edit.wanted, edit.current):
                fields.append((edit.path, DELETE if edit.wanted is ABSENT else edit.wanted))
    return Edits(tuple(fields), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Edit:
    path: FieldPath
    wanted: MaybeJson
    base: MaybeJson
    current: MaybeJson


def _compared(path: FieldPath, wanted: Meaning, base: Base, state: State) -> Iterator[_Edit]:
    """Everything at or below the field that differs from the base."""
    was: MaybeJson = (
        base.data_type if path.attribute is not None else get_field(base.metadata, path.keys)
    )
    whole = _Edit(path, ABSENT if wanted is DELETE else wanted, was, state.find(path))
    yield from _differing(whole)


def _differing(edit: _Edit) -> Iterator[_Edit]:
    if _unedited(edit.wanted, edit.base):
        return
    if not isinstance(edit.wanted, dict) or not isinstance(edit.base, dict):
        yield edit
        return
    current = edit.current
    for key in sorted({*edit.wanted, *edit.base}):
        keys = (*edit.path.keys, key)
        inner: MaybeJson = current.get(key, ABSENT) if isinstance(current, dict) else ABSENT
        yield from _differing(
            _Edit(
                FieldPath(format_field(keys), None, keys),
                edit.wanted.get(key, ABSENT),
                edit.base.get(key, ABSENT),
                inner,
            )
        )


def _problem(edit: _Edit, base: Base) -> str | None:
    if _equal(edit.wanted, edit.current):
        # Somebody else has done the same.
        return None
    field = f"field {edit.path.text}"
    if _mangled(edit.base, edit.wanted):
        return (
            f"{field}: expected {shown(edit.base)}, as in version {base.version_id}, or another "
            f"text, found {shown(edit.wanted)}, which looks like the same as a spreadsheet rewrote "
            "it; restore the cell, or change the field with --set"
        )
    if not _equal(edit.current, edit.base):
        return (
            f"{field}: expected {shown(edit.base)}, as in version {base.version_id} from which the "
            f"sheet was exported, found {shown(edit.current)} by now; the sheet wants "
            f"{shown(edit.wanted)}; export again, or empty the cell"
        )
    return None


def _equal(left: MaybeJson, right: MaybeJson) -> bool:
    if left is ABSENT or right is ABSENT:
        return left is right
    return same(left, right)


def _unedited(wanted: MaybeJson, base: MaybeJson) -> bool:
    """Whether a cell says what was exported, as far as spreadsheets can be trusted."""
    if wanted is ABSENT or base is ABSENT:
        return wanted is base
    if isinstance(wanted, str) and isinstance(base, str):
        return wanted == base or wanted.replace("\r\n", "\n") == base.replace("\r\n", "\n")
    if _is_number(wanted) and _is_number(base):
        return _same_number(wanted, base)
    return same(wanted, base)


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same_number(wanted: JsonValue, base: JsonValue) -> bool:
    assert isinstance(wanted, int | float)
    assert isinstance(base, int | float)
    if wanted == base:
        return True
    if not isinstance(wanted, float) or not isinstance(base, float):
        return False
    mantissa = repr(abs(wanted)).partition("e")[0]
    digits = len(mantissa.replace(".", "").strip("0"))
    # Rounded to all that a spreadsheet keeps, a number may end in zeros that are not written.
    possible = {_KEPT_DIGITS, digits} if digits >= _ROUNDED_DIGITS else {_KEPT_DIGITS}
    return any(float(f"{base:.{one}g}") == wanted for one in possible)


def _mangled(base: MaybeJson, wanted: MaybeJson) -> bool:
    """Whether a text of digits came back as the same number written in another way."""
    if not isinstance(base, str) or not isinstance(wanted, str):
        return False
    if not looks_like_a_number(base) or not looks_like_a_number(wanted):
        return False
    exact, found = float(base), float(wanted)
    rounded = "e" in wanted.lower() and abs(exact - found) <= 1e-5 * abs(exact)
    return exact == found or rounded
