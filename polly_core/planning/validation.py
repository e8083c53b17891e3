"""Whether changed metadata satisfies a JSON Schema and a pydantic model.

Only what the change made worse counts: a problem that the metadata had before, at the same place
and of the same kind, is not the change's. Places inside a list are compared by value, because
positions shift when elements come and go.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import TypeAlias

from pydantic import BaseModel, ValidationError

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.calling import import_named
from polly_core.planning.problems import Problem, identity_of, where
from polly_core.planning.resources import Loaded
from polly_core.planning.values import copy_value

_Check: TypeAlias = Callable[[JsonObject], Iterable[Problem]]


class Validator:
    """A compiled ``validate`` block. Thread-safe. Without one nothing is ever wrong."""

    def __init__(self, loaded: Loaded, *, allowed_modules: Collection[str] = ()) -> None:
        """Compile.

        Raises:
            InvalidInput: the schema is none, or the model is not allowed or is none.
        """
        self._checks = tuple(_checks(loaded, allowed_modules))

    def new_problems(self, before: JsonObject, after: JsonObject) -> tuple[str, ...]:
        """Everything that is wrong with ``after`` and was not with ``before``.

        Raises:
            InvalidInput: the schema refers to something outside itself.
        """
        found = list(self._problems(after))
        if not found:
            return ()
        known = {problem.identity for problem in self._problems(before)}
        return tuple(
            dict.fromkeys(problem.text for problem in found if problem.identity not in known)
        )

    def _problems(self, metadata: JsonObject) -> Iterator[Problem]:
        for check in self._checks:
            yield from check(metadata)


def _checks(loaded: Loaded, allowed_modules: Collection[str]) -> Iterator[_Check]:
    wanted = loaded.change.validation
    if wanted is not None and wanted.json_schema is not None:
        # It takes longer to import than all of planning, and most runs need no schema.
        from polly_core.planning.schemas import compile_schema, schema_problems

        yield partial(schema_problems, compile_schema(wanted.json_schema, loaded))
    if wanted is not None and wanted.model is not None:
        yield partial(_model_problems, _model(wanted.model, allowed_modules))


def _model(name: str, allowed_modules: Collection[str]) -> type[BaseModel]:
    found = import_named("validate, model", name, allowed_modules)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise InvalidInput(f"validate, model: {name} is no pydantic model")
    return found


def _model_problems(model: type[BaseModel], metadata: JsonObject) -> Iterator[Problem]:
    try:
        # A model's own validators may change what they are given.
        model.model_validate(copy_value(metadata))
    except ValidationError as error:
        for found in error.errors(include_url=False, include_context=False):
            place = list(found["loc"])
            identity = (*identity_of(place, _plain(found["input"])), found["type"], "model")
            yield Problem(identity, f"{where(place)}: {found['msg']}")
    except Exception as error:  # noqa: BLE001 - foreign code: its failure is this item's only
        what = f"{model.__name__} raised {type(error).__name__}: {error}"
        yield Problem(("model", "raised", type(error).__name__), f"the metadata: {what}")


def _plain(value: object) -> JsonValue:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
