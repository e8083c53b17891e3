"""The step ``call`` and importing from modules that the operator allowed."""

import importlib
from collections.abc import Callable, Collection
from functools import cached_property

from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetId, StudyId
from polly_core.models.change import Call
from polly_core.models.fieldpath import parse_field
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.state import Action, Refused, State
from polly_core.planning.values import copy_value, not_json, shown


class DatasetView:
    """What a called function sees of a dataset, as the steps before it left it."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def dataset_id(self) -> DatasetId:
        return self._state.record.dataset_id

    @property
    def data_type(self) -> str:
        return self._state.data_type

    @property
    def study_id(self) -> StudyId | None:
        return self._state.record.study_id

    @property
    def last_modified_at(self) -> int:
        """Unix milliseconds."""
        return self._state.record.last_modified_at

    @cached_property
    def metadata(self) -> JsonObject:
        """A copy, the function's to change; made when it is first asked for."""
        copied = copy_value(self._state.metadata)
        assert isinstance(copied, dict)
        return copied


def call(title: str, step: Call, allowed_modules: Collection[str]) -> Action:
    """Compile the step.

    Raises:
        InvalidInput: the function's module is not allowed, or there is no such function.
    """
    function = import_named(title, step.function, allowed_modules)
    if not callable(function):
        raise InvalidInput(f"{title}: {step.function} is no function")
    return _on_field(step, function) if step.field is not None else _on_metadata(step, function)


def _on_field(step: Call, function: Callable[..., object]) -> Action:
    assert step.field is not None
    target = parse_field(step.field)
    source = parse_field(step.source) if step.source is not None else target

    def act(state: State) -> State:
        value = copy_value(state.need(source))
        result = _result(step, function, value, DatasetView(state))
        return state.put(target, result)

    return act


def _on_metadata(step: Call, function: Callable[..., object]) -> Action:
    def act(state: State) -> State:
        result = _result(step, function, DatasetView(state))
        if not isinstance(result, dict):
            raise Refused("(metadata)", f"{step.function} to return an object", shown(result))
        return state.with_metadata(result)

    return act


def _result(step: Call, function: Callable[..., object], *arguments: object) -> JsonValue:
    field = step.field or "(metadata)"
    named = {name: copy_value(value) for name, value in step.arguments.items()}
    try:
        result = function(*arguments, **named)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # SystemExit as well: it is the function's way to fail, not the end of the program.
        what = f"{type(error).__name__}: {error}"
        raise Refused(field, f"{step.function} to return a value", what) from error
    if problem := not_json(result):
        raise Refused(field, f"{step.function} to return JSON", problem)
    return copy_value(result)  # type: ignore[arg-type]  # not_json has just looked


def import_named(title: str, name: str, allowed_modules: Collection[str]) -> object:
    """What ``module:name`` names.

    Raises:
        InvalidInput: the module is not allowed, cannot be imported, or has no such name.
    """
    module_name, _, attribute = name.partition(":")
    if module_name not in allowed_modules:
        allowed = ", ".join(sorted(allowed_modules)) or "none"
        raise InvalidInput(
            f"{title}: module {module_name} is not allowed (allowed: {allowed}); the operator "
            f"allows it with POLLY_ALLOWED_MODULES='[\"{module_name}\"]'"
        )
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}"
        raise InvalidInput(f"{title}: module {module_name} cannot be imported: {what}") from error
    if not hasattr(module, attribute):
        raise InvalidInput(f"{title}: module {module_name} has no {attribute!r}")
    found: object = getattr(module, attribute)
    return found
