"""Parameters of a flow run as a command line gives them, checked before anything is made."""

import difflib
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticError

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.resources import parse_document
from polly_core.transport.sources import PATTERN, read_source

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

OUR_FLOWS = "flows/"


class Setting(NamedTuple):
    """One ``KEY=VALUE``: where it goes, its value as JSON, and the text as it was typed."""

    path: tuple[str, ...]
    value: JsonValue
    text: str


def read_setting(given: str) -> Setting:
    """Read ``a.b=VALUE`` or ``a.b=@FILE``.

    A value is JSON where it can be read so, else text. A file is YAML or JSON.

    Raises:
        InvalidInput: it is no such assignment, or the file cannot be read.
    """
    key, equals, text = given.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        raise InvalidInput(
            f"-p {given!r}: expected KEY=VALUE, like update.run.concurrency=16 or "
            "update.change=@change.yaml"
        )
    if text.startswith("@"):
        return Setting(path, read_document(text[1:]), text)
    try:
        return Setting(path, json.loads(text, parse_constant=_refuse), text)
    except ValueError:
        return Setting(path, text, text)


def read_document(name: str) -> JsonValue:
    """What a YAML or JSON file holds. Raises ``InvalidInput``."""
    return parse_document(read_source(name), Path(name).name)


def assembled(
    defaults: Mapping[str, JsonValue], documents: Iterable[JsonValue], settings: Sequence[Setting]
) -> JsonObject:
    """The deployment's own parameters, changed by files and then by settings, key by key.

    Raises:
        InvalidInput: a file is no object, or a setting goes into something that is none.
    """
    found = merged({}, defaults)
    for document in documents:
        if not isinstance(document, dict):
            raise InvalidInput(
                "--parameters: expected an object with the parameters by name, found "
                f"{type(document).__name__}"
            )
        found = merged(found, document)
    for setting in settings:
        put(found, setting.path, setting.value)
    return found


def merged(below: Mapping[str, JsonValue], above: Mapping[str, JsonValue]) -> JsonObject:
    """Objects are merged key by key; anything else is replaced."""
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            found[key] = merged(old, value)
        else:
            found[key] = value
    return found


def put(tree: JsonObject, path: tuple[str, ...], value: JsonValue) -> None:
    """Set a value at a path, making objects on the way."""
    place = tree
    for depth, key in enumerate(path[:-1], 1):
        inner = place.setdefault(key, {})
        if not isinstance(inner, dict):
            raise InvalidInput(
                f"-p {'.'.join(path)}: {'.'.join(path[:depth])} is {json.dumps(inner)}, "
                "which has no parts"
            )
        place = inner
    place[path[-1]] = value


def checked(
    schema: Mapping[str, Any], parameters: JsonObject, settings: Sequence[Setting]
) -> JsonObject:
    """The parameters as the deployment's schema wants them.

    A setting that reads as another kind of JSON where text is wanted is taken as the text that it
    was: an atlas id 9 is a text.

    Raises:
        InvalidInput: they do not fit; every problem is named.
    """
    closed = {**schema, "additionalProperties": False}
    typed = {setting.path: setting.text for setting in settings}
    validator = Draft202012Validator(closed)
    for error in list(validator.iter_errors(parameters)):
        path = tuple(map(str, error.absolute_path))
        if error.validator == "type" and error.validator_value == "string" and path in typed:
            put(parameters, path, typed[path])
    problems = [text for error in validator.iter_errors(parameters) for text in _told(error)]
    _refuse_if(problems)
    return parameters


def check_by_flow(entrypoint: str, schema: Mapping[str, Any], parameters: JsonObject) -> None:
    """Let the flow itself judge, where this checkout has the very flow that is deployed.

    A schema cannot say what belongs together; the flow's own parameter model can.

    Raises:
        InvalidInput: the flow would refuse them.
    """
    from prefect import Flow

    path, _, name = entrypoint.partition(":")
    if not path.startswith(OUR_FLOWS) or not path.endswith(".py"):
        return
    try:
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    except ImportError:
        return
    flow = getattr(module, name, None)
    if not isinstance(flow, Flow) or flow.parameters.model_dump(exclude_unset=True) != schema:
        return
    problems: list[str] = []
    for key, kind in get_type_hints(flow.fn).items():
        if key in parameters:
            try:
                TypeAdapter(kind).validate_python(parameters[key])
            except PydanticError as error:
                problems += [_problem(key, one) for one in error.errors()]
    _refuse_if(problems)


def _refuse(name: str) -> JsonValue:
    raise ValueError(name)


def _refuse_if(problems: Sequence[str]) -> None:
    if problems:
        raise InvalidInput("the parameters do not fit the deployment:\n  " + "\n  ".join(problems))


def _problem(key: str, error: "ErrorDetails") -> str:
    where = ".".join(map(str, (key, *error["loc"])))
    return f"{where}: {error['msg'].removeprefix('Value error, ')}"


def _told(error: ValidationError) -> Iterator[str]:
    where = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema["properties"]) if isinstance(error.schema, dict) else []
        for name in sorted(set(error.instance) - set(known)):
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {close[0]}? " if close else ""
            full = f"{where}.{name}" if where else name
            yield f"{full} is unknown; {meant}Known here: {', '.join(known)}"
    elif error.validator == "required":
        yield f"{where + ': ' if where else ''}{error.message}"
    elif error.validator == "pattern":
        # Its message would repeat the value, which may hold a secret.
        why = "a URL must hold no password, key or signature"
        yield f"{where}: {why if error.validator_value == PATTERN else 'expected another form'}"
    else:
        yield f"{where}: {error.message}"
