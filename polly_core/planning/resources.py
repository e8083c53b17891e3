"""Reading a change and the files it refers to, each pinned by its SHA-256."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import ValidationError

from polly_core.errors import InvalidInput
from polly_core.models.change import Change, step_kind
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.values import not_json, read_json, shown

MAX_FILE_BYTES = 256 * 1024 * 1024

Fetch: TypeAlias = Callable[[str], bytes]
"""Reads a file by the name it is referred to. Raises ``InvalidInput`` where it cannot."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A change with the files it refers to, by the names it refers to them."""

    change: Change
    resources: Mapping[str, bytes] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file, in hex."""


def load_change(path: Path) -> Loaded:
    """Read a change file (YAML or JSON) and the files it names, relative to it.

    Raises:
        InvalidInput: a file cannot be read, or the change is wrong; every problem is named.
    """
    text = _read(path, "the change file")
    return load_resources(parse_change(text, path.name), files_beside(path))


def parse_change(text: bytes, name: str) -> Change:
    """Read a change from the bytes of a YAML or JSON file.

    Raises:
        InvalidInput: it is no change; every problem is named.
    """
    return change_of(parse_document(text, name), name)


def change_of(value: JsonValue, name: str) -> Change:
    """Read a change that is already parsed.

    Raises:
        InvalidInput: it is no change; every problem is named.
    """
    if not isinstance(value, dict):
        raise InvalidInput(f"{name}: expected a mapping with steps, found {shown(value)}")
    try:
        return Change.model_validate(value)
    except ValidationError as error:
        problems = [_problem(value, dict(found)) for found in error.errors(include_url=False)]
        raise InvalidInput("\n  ".join([f"{name} is no usable change:", *problems])) from None


def load_resources(
    change: Change, fetch: Fetch, *, pinned: Mapping[str, str] | None = None
) -> Loaded:
    """Fetch the files a change refers to.

    Args:
        pinned: the SHA-256 that each file must have, by name; None takes them as they are.

    Raises:
        InvalidInput: a file cannot be read or is not the pinned one.
    """
    resources = {name: fetch(name) for name in change.files()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in resources.items()}
    for name, wanted in (pinned or {}).items():
        found = digests.get(name, "nothing")
        if found != wanted:
            raise InvalidInput(
                f"{name} is not the file this run was started with: expected SHA-256 "
                f"{wanted[:12]}…, found {found[:12]}…; put the file back, or start a new run"
            )
    return Loaded(change, resources, digests)


def files_beside(path: Path) -> Fetch:
    """Reads files by name relative to a change file."""

    def fetch(name: str) -> bytes:
        return _read(path.parent / name, f"{name}, which {path.name} refers to,")

    return fetch


def parse_document(text: bytes, name: str) -> JsonValue:
    """Read YAML or JSON (by the name's suffix; anything but ``.json`` is YAML).

    YAML is read as people mean it: only true and false are booleans, dates and times are text.

    Raises:
        InvalidInput: it cannot be parsed, or holds what JSON cannot.
    """
    try:
        decoded = text.decode("utf-8-sig")
        value = read_json(decoded) if name.lower().endswith(".json") else _yaml(decoded)
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{name}, line {line}: not UTF-8; save the file as UTF-8") from None
    except (ValueError, yaml.YAMLError) as error:
        raise InvalidInput(f"{name} cannot be parsed: {_one_line(error)}") from None
    return value


def _yaml(text: str) -> JsonValue:
    # The loader is a SafeLoader: it makes plain values only.
    value: JsonValue = yaml.load(text, _PlainLoader)  # noqa: S506
    if problem := not_json(value):
        raise ValueError(f"it holds {problem}, which is not JSON")
    return value


_KINDS = {
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
"""What pydantic calls the kinds of values that a change is made of."""
_VALIDATOR = "function-"
"""Begins a part of pydantic's locations that stands for no member."""
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+|[-+]?[0-9]*\.[0-9]+|[-+]?[0-9]+\."
)


class _PlainLoader(yaml.SafeLoader):
    """Scalars as YAML 1.2 has them: no, 2020-01-01, 12:30 and 007 stay text. No key twice."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        if kind is not yaml.ScalarNode or value is None or not implicit[0]:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        if value == "<<":
            return "tag:yaml.org,2002:merge"
        for name, pattern in (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT)):
            if pattern.fullmatch(value):
                return f"tag:yaml.org,2002:{name}"
        return "tag:yaml.org,2002:str"

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        scalars = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in scalars:
            # Keys of JSON are text: 9606 as well.
            if key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
        written = [key.value for key in scalars]
        if len(written) != len(set(written)):
            twice = next(key for key in written if written.count(key) > 1)
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


def _one_line(error: Exception) -> str:
    # The parser does not know the name of what it was given.
    return " ".join(str(error).split()).replace('in "<unicode string>", line', "in line")


def _read(path: Path, what: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InvalidInput(
                f"{what} is too large: {size} bytes in {path}, at most {MAX_FILE_BYTES} are read"
            )
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{what} cannot be read: {path}: {error.strerror}") from None


def _problem(document: JsonObject, found: dict[str, Any]) -> str:
    """One problem as a curator knows the place: the step's number and kind, the member."""
    location = list(found["loc"])
    message = _message(found)
    if len(location) < 2 or location[0] != "steps" or not isinstance(location[1], int):
        place = ".".join(map(str, location))
        return f"{place}: {message}" if place else message
    steps = document["steps"]
    assert isinstance(steps, list)
    kind = step_kind(steps[location[1]])
    place = f"step {location[1] + 1}" + (f" ({kind})" if kind else "")
    # The location repeats the kind: it is the union's tag.
    names = [str(part) for part in location[3:]]
    members = ".".join(name for name in names if not name.startswith(_VALIDATOR))
    return f"{place}, {members}: {message}" if members else f"{place}, {message}"


def _message(found: dict[str, Any]) -> str:
    """What was expected and what was found, in the words of YAML and JSON."""
    message = str(found["msg"]).removeprefix("Value error, ")
    given = found.get("input")
    kind = _KINDS.get(found["type"])
    if kind is not None:
        return f"expected {kind}; found {shown(given)}"
    if isinstance(given, str | int | float) and repr(given) not in message:
        return f"{message}; found {shown(given)}"
    return message
