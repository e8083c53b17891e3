"""JSON Schema as one way to say what metadata must be."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import referencing
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator as SchemaValidator
from jsonschema.validators import validator_for
from referencing.exceptions import Unresolvable

from polly_core.errors import InvalidInput
from polly_core.models.fieldpath import format_field
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.problems import Problem, identity_of, where
from polly_core.planning.resources import Loaded, parse_document
from polly_core.planning.values import shown


def compile_schema(raw: JsonObject | bool | str, loaded: Loaded) -> SchemaValidator:
    """Compile a schema, inline or one of the change's files.

    Raises:
        InvalidInput: it is no JSON Schema.
    """
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


def schema_problems(schema: SchemaValidator, metadata: JsonObject) -> Iterator[Problem]:
    """Everything that is wrong with the metadata, by place.

    Raises:
        InvalidInput: the schema refers to something outside itself.
    """
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


def _of_schema(error: ValidationError) -> Iterator[Problem]:
    place = list(error.absolute_path)
    rule = "/".join(map(str, error.absolute_schema_path))
    text = f"{where(place)}: {_short(error)}"
    instance: Any = error.instance
    base = (*identity_of(place, instance), rule)
    if error.validator in ("additionalProperties", "unevaluatedProperties"):
        # One error for all of them; each one is a problem of its own.
        for name in _extras(error):
            extra = f"{where([*place, name])}: not allowed by the schema"
            yield Problem((*base, name), extra)
    elif error.validator in ("required", "dependentRequired"):
        yield Problem((*base, error.message), text)
    else:
        yield Problem(base, text)


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
