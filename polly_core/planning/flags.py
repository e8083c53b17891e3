"""A change from flags: ``--rename a=b``, ``--set k=v``, ``--unset k``."""

from collections.abc import Callable, Iterable
from functools import partial

from pydantic import ValidationError

from polly_core.errors import InvalidInput
from polly_core.models.change import Change, Rename, Set, Step, Unset
from polly_core.models.jsonvalue import JsonValue
from polly_core.planning.values import read_json


def change_from_flags(
    *, sets: Iterable[str] = (), unsets: Iterable[str] = (), renames: Iterable[str] = ()
) -> Change:
    """The change that flags describe: first the renames, then what is set, then what is unset.

    A value is read as JSON where it is JSON (``3``, ``true``, ``null``, ``["a"]``, ``"3"``), else
    as text.

    Raises:
        InvalidInput: a flag is malformed; it is named.
    """
    steps: list[Step] = []
    for flag in renames:
        old, new = _split("--rename", flag, "OLD=NEW")
        steps.append(_step("--rename", flag, partial(Rename, field=old, to=new)))
    for flag in sets:
        name, text = _split("--set", flag, "FIELD=VALUE")
        value = parse_value(text)
        steps.append(_step("--set", flag, partial(Set, field=name, value=value)))
    steps += [_step("--unset", flag, partial(Unset, field=flag)) for flag in unsets]
    return Change(steps=tuple(steps))


def parse_value(text: str) -> JsonValue:
    """JSON where it is JSON, else the text itself."""
    try:
        return read_json(text)
    except ValueError:
        return text


def _split(option: str, flag: str, form: str) -> tuple[str, str]:
    """Split at the first equals sign that is not within a quoted key."""
    quoted = escaped = False
    for position, character in enumerate(flag):
        if character == "=" and not quoted:
            return flag[:position], flag[position + 1 :]
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = character == "\\" and quoted and not escaped
    raise InvalidInput(f"{option} {flag}: expected {form}")


def _step(option: str, flag: str, make: Callable[[], Step]) -> Step:
    try:
        return make()
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{option} {flag}: {message}") from None
