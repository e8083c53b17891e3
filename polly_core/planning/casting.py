"""The step ``cast``: another type for a value, without loss."""

import math
import re

from polly_core.models.change import Cast
from polly_core.models.fieldpath import parse_field
from polly_core.models.jsonvalue import JsonValue
from polly_core.planning.state import Action, Refused, State
from polly_core.planning.values import ABSENT, MaybeJson, shown

_WHOLE = re.compile(r"([+-]?[0-9]{1,4000})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def cast(step: Cast) -> Action:
    """Compile the step."""
    path = parse_field(step.field)

    def act(state: State) -> State:
        value = state.need(path)
        if not isinstance(value, list):
            made = _converted(value, step)
            return state.drop(path) if made is ABSENT else state.put(path, made)
        items = [_converted(item, step) for item in value]
        return state.put(path, [item for item in items if item is not ABSENT])

    return act


def _converted(value: JsonValue, step: Cast) -> MaybeJson:
    if value is None:
        return None
    made = convert(value, step.to)
    if made is not ABSENT:
        return made
    match step.unmatched:
        case "keep":
            return value
        case "unset":
            return ABSENT
        case "fail":
            raise Refused(step.field, f"what can be {_NAMES[step.to]} without loss", shown(value))


_NAMES = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}


def convert(value: JsonValue, to: str) -> MaybeJson:
    """The value as an int, float, str or bool; ``ABSENT`` where something would be lost."""
    match to:
        case "int":
            return whole_number(value)
        case "float":
            return number(value)
        case "bool":
            return truth(value)
        case _:
            return _text(value)


def whole_number(value: JsonValue) -> MaybeJson:
    """``42`` of 42, 42.0, ``"42"``, ``"42.0"``; not of an exponent, which may have lost digits."""
    match value:
        case bool():
            return ABSENT
        case int():
            return value
        case float():
            # Above it neighbours are more than one apart.
            return int(value) if value.is_integer() and abs(value) <= 2**53 else ABSENT
        case str() if match := _WHOLE.fullmatch(value.strip()):
            return int(match[1])
        case _:
            return ABSENT


def number(value: JsonValue) -> MaybeJson:
    """A floating-point number of a number or the text of one."""
    match value:
        case bool():
            return ABSENT
        case float():
            return value
        case int() if abs(value) <= 2**53:
            return float(value)
        case str() if _NUMBER.fullmatch(value.strip()) and math.isfinite(float(value)):
            return float(value)
        case _:
            return ABSENT


def truth(value: JsonValue) -> MaybeJson:
    """A boolean of itself, 0, 1 or their texts, in any case."""
    match value:
        case bool():
            return value
        case int() if value in (0, 1):
            return value == 1
        case str():
            return _TRUTH.get(value.strip().lower(), ABSENT)
        case _:
            return ABSENT


def looks_like_a_number(text: str) -> bool:
    """Whether a person or a spreadsheet would take the text for a number."""
    return _NUMBER.fullmatch(text.strip()) is not None


def _text(value: JsonValue) -> MaybeJson:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case _:
            return ABSENT
