"""Whether changed metadata satisfies a JSON Schema and a pydantic model.

Only what the change made worse counts: a problem that the metadata had before, at the same place
and of the same kind, is not the change's. Places inside a list are compared by value, because
positions shift when elements come and go.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jsonschema
import referencing
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator as SchemaValidator
from jsonschema.validators import validator_for
from pydantic import BaseModel
from pydantic import ValidationError as ModelError
from referencing.exceptions import Unresolvable

from polly_core.errors import InvalidInput
from polly_core.models.fieldpath import format_field
from polly_core.models.jsonvalue import JsonObject, JsonValue, canonical_json
from polly_core.planning.calling import import_named
from polly_core.planning.resources import Loaded, parse_document
from polly_core.planning.values import copy_value, shown

_Place: TypeAlias = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class _Problem:
    identity: tuple[object, ...]
    text: str


class Validator:
    """A compiled ``validate`` block. Thread-safe. Without one nothing is ever wrong."""

    def __init__(self, loaded: Loaded, *, allowed_modules: Collection[str] = ()) -> None:
        """Compile.

        Raises:
            InvalidInput: the schema is none, or the model is not allowed or is none.
        """
        wanted = loaded.change.validation
        self._schema: SchemaValidator | None = None
        self._model: type[BaseModel] | None = None
        if wanted is None:
            return
        if wanted.json_schema is not None:
            self._schema = _schema(wanted.json_schema, loaded)
        if wanted.model is not None:
            self._model = _model(wanted.model, allowed_modules)

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

    def _problems(self, metadata: JsonObject) -> Iterator[_Problem]:
        if self._schema is not None:
            yield from _schema_problems(self._schema, metadata)
        if self._model is not None:
            yield from _model_problems(self._model, metadata)


def _schema(raw: JsonObject | bool | str, loaded: Loaded) -> SchemaValidator:
    name = raw if isinstance(raw, str) else "validate, schema"
    schema = parse_document(loaded.resources[raw], raw) if isinstance(raw, str) else raw
    if not isinstance(schema, dict | bool):
        raise InvalidInput(f"{name}: expected a JSON Schema object, found {shown(schema)}")
    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)  # type: ignore[arg-type]  # a boolean is a schema as well
    except SchemaError as error:
        place = format_field([str(part) for part in error.absolute_path]) or "the top"
        raise InvalidInput(f"{name} is no JSON Schema: at {place}: {error.message}") from None
    # A registry of its own: the default one would fetch what a schema refers to.
    compiled: SchemaValidator = kind(schema, registry=referencing.Registry())
    return compiled


def _model(name: str, allowed_modules: Collection[str]) -> type[BaseModel]:
    found = import_named("validate, model", name, allowed_modules)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise InvalidInput(f"validate, model: {name} is no pydantic model")
    return found


def _schema_problems(schema: SchemaValidator, metadata: JsonObject) -> Iterator[_Problem]:
    try:
        errors = sorted(
            schema.iter_errors(metadata), key=lambda error: [str(part) for part in error.path]
        )
    except Unresolvable as unresolvable:
        raise InvalidInput(
            f"validate: the schema refers to {unresolvable.ref!r}, which is not in it; "
            "put it under $defs of the same file"
        ) from None
    for error in errors:
        yield from _of_schema(error)


def _of_schema(error: ValidationError) -> Iterator[_Problem]:
    place = list(error.absolute_path)
    rule = "/".join(map(str, error.absolute_schema_path))
    text = f"{_where(place)}: {_short(error)}"
    instance: Any = error.instance
    base = (*_identity(place, instance), rule)
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        # One error for all of them; each one is a problem of its own.
        for name in _extras(error):
            extra = f"{_where([*place, name])}: not allowed by the schema"
            yield _Problem((*base, name), extra)
    elif error.validator in ("required", "dependentRequired"):
        yield _Problem((*base, error.message), text)
    else:
        yield _Problem(base, text)


def _extras(error: ValidationError) -> list[str]:
    if not isinstance(error.schema, dict) or not isinstance(error.instance, dict):
        return [error.message]
    known = error.schema.get("properties", {})
    return [name for name in error.instance if name not in known and repr(name) in error.message]


def _short(error: ValidationError) -> str:
    """The validator's message without the whole value in it."""
    rule: Any = error.validator_value
    found: Any = error.instance
    match error.validator:
        case "enum":
            return f"expected one of {shown(rule)}, found {shown(found)}"
        case "type":
            return f"expected {shown(rule)}, found {shown(found)}"
        case "pattern":
            return f"expected to match {rule}, found {shown(found)}"
        case "required" | "dependentRequired":
            return error.message
        case _:
            return f"expected {error.validator} {shown(rule)}, found {shown(found)}"


def _model_problems(model: type[BaseModel], metadata: JsonObject) -> Iterator[_Problem]:
    try:
        # A model's own validators may change what they are given.
        model.model_validate(copy_value(metadata))
    except ModelError as error:
        for found in error.errors(include_url=False, include_context=False):
            place = list(found["loc"])
            identity = (*_identity(place, _plain(found["input"])), found["type"], "model")
            yield _Problem(identity, f"{_where(place)}: {found['msg']}")


def _plain(value: object) -> JsonValue:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _identity(place: _Place, value: JsonValue) -> tuple[object, ...]:
    """The place up to the first list; within a list the value instead of the position."""
    for depth, part in enumerate(place):
        if isinstance(part, int):
            inner = tuple(str(p) for p in place[depth + 1 :] if not isinstance(p, int))
            return (*place[:depth], "[]", inner, canonical_json(value))
    return tuple(place)


def _where(place: _Place) -> str:
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{format_field([part])}" if text else format_field([part])
    return f"field {text}" if text else "the metadata"
