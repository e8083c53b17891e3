"""The step ``join``: columns of a table by a key."""

from collections.abc import Mapping
from io import BytesIO

from polly_core.errors import InvalidInput
from polly_core.models.change import Join
from polly_core.models.fieldpath import PREFIXED, FieldPath, format_field, parse_field
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.state import Action, Refused, State
from polly_core.planning.tables import Problems, read_rows
from polly_core.planning.values import shown


def join(title: str, step: Join, resources: Mapping[str, bytes]) -> Action:
    """Compile the step.

    Raises:
        InvalidInput: the table cannot be used, or lacks a column.
    """
    rows = _index(step, resources[step.table])
    targets = _targets(title, step, rows)
    on = parse_field(step.field)

    def act(state: State) -> State:
        key = _key(state.need(on))
        if key is None:
            raise Refused(step.field, "a text or a whole number as key", shown(state.need(on)))
        row = rows.get(key)
        if row is None:
            if step.unmatched == "fail":
                raise Refused(
                    step.field, f"a value of column {step.key} of {step.table}", repr(key)
                )
            return state
        for column, path in targets:
            if column in row:
                state = state.put(path, row[column])
        return state

    return act


def _key(value: JsonValue) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _index(step: Join, content: bytes) -> dict[str, JsonObject]:
    problems = Problems(step.table)
    rows: dict[str, JsonObject] = {}
    lines: dict[str, int] = {}
    for row in read_rows(BytesIO(content), step.table, problems, required=(step.key,)):
        key = _key(row.cells.pop(step.key, None))
        if not key:
            problems.add(row.line, f"no key in column {step.key!r}")
        elif key in lines:
            problems.add(row.line, f"the key {key!r} is already in line {lines[key]}")
        else:
            rows[key] = row.cells
            lines[key] = row.line
    problems.raise_any()
    if not rows:
        raise InvalidInput(f"{step.table}: expected at least one row")
    return rows


def _targets(
    title: str, step: Join, rows: Mapping[str, JsonObject]
) -> tuple[tuple[str, FieldPath], ...]:
    known = {column for row in rows.values() for column in row}
    if isinstance(step.columns, dict):
        fields = step.columns
    else:
        names = step.columns if step.columns is not None else sorted(known)
        fields = {name: _own_field(title, step, name) for name in names}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise InvalidInput(
            f"{title}: no row of {step.table} has a value in column {', '.join(unknown)}; "
            f"expected one of {', '.join(sorted(known))}"
        )
    return tuple((column, parse_field(field)) for column, field in fields.items())


def _own_field(title: str, step: Join, column: str) -> str:
    prefix = f"{PREFIXED}."
    if column.startswith(prefix):
        meant = column.removeprefix(prefix)
        raise InvalidInput(
            f"{title}: column {column} of {step.table}: a field is named without {prefix}; say "
            f"which field the column goes to, as in columns: {{{column}: {meant}}}"
        )
    return format_field((column,))
