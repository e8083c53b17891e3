"""The simple steps: set, unset, rename, append_unique."""

from polly_core.models.change import AppendUnique, Rename, Set, Unset
from polly_core.models.fieldpath import parse_field
from polly_core.models.jsonvalue import JsonValue
from polly_core.planning.state import Action, FieldMissing, Refused, State
from polly_core.planning.values import ABSENT, same, shown


def simple_action(step: Set | Unset | Rename | AppendUnique) -> Action:
    """Compile a step that needs no file and no function."""
    match step:
        case Set():
            return set_value(step)
        case Unset():
            return unset(step)
        case Rename():
            return rename(step)
        case AppendUnique():
            return append_unique(step)


def set_value(step: Set) -> Action:
    """Give the field the value."""
    path = parse_field(step.field)
    return lambda state: state.put(path, step.value)


def unset(step: Unset) -> Action:
    """Remove the field."""
    path = parse_field(step.field)

    def act(state: State) -> State:
        state.need(path)
        return state.drop(path)

    return act


def rename(step: Rename) -> Action:
    """Move the value. Where only the target is there, it was moved before."""
    source, target = parse_field(step.field), parse_field(step.to)

    def act(state: State) -> State:
        value, present = state.find(source), state.find(target)
        if value is ABSENT:
            if present is ABSENT:
                raise FieldMissing(source)
            return state
        if present is not ABSENT and not same(value, present):
            if step.existing == "fail":
                raise Refused(
                    step.to,
                    f"it to be free for the value of {step.field} ({shown(value)})",
                    f"{shown(present)}; say existing: overwrite or keep",
                )
            if step.existing == "keep":
                return state.drop(source)
        return state.drop(source).put(target, value)

    return act


def append_unique(step: AppendUnique) -> Action:
    """Add the values that are not in the list yet."""
    path = parse_field(step.field)

    def act(state: State) -> State:
        current = state.find(path)
        present: JsonValue = [] if current is ABSENT else current
        if not isinstance(present, list):
            raise Refused(step.field, "a list", shown(present))
        result = list(present)
        for value in step.values:
            if not any(same(value, item) for item in result):
                result.append(value)
        return state.put(path, result)

    return act
