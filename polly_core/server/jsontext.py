"""JSON bodies of which one member is kept as text, so that no number or order is lost."""

import json
import math
import re
from typing import NoReturn

from polly_core.errors import BadRequest
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.server.refusals import bad_request

_BLANK = re.compile(r"[ \t\n\r]*")


def parse_body(body: bytes, kept: tuple[str, ...] = ()) -> tuple[JsonObject, str | None]:
    """The document, and the text of the member at the path ``kept`` as it was sent.

    The member itself is in the document too. The text is None where there is no such member.

    Raises:
        BadRequest: not UTF-8, not JSON, not an object, NaN or an infinity, a number that no
            reader could hold.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_request(f"The body is not UTF-8 (byte {error.start})") from None
    try:
        return _Document(text, kept).parse()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise bad_request(f"The body is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise bad_request("The body is nested too deeply") from None
    except BadRequest:
        # It is a ValueError too, and says already what is wrong.
        raise
    except ValueError as error:
        raise bad_request(f"The body is not usable JSON: {error}") from None


def parse_object(text: str, what: str) -> JsonObject:
    """A JSON object out of a query parameter.

    Raises:
        BadRequest: it is none; ``what`` names it.
    """
    try:
        value = _decoder().decode(text)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise bad_request(f"{what}: expected an object")
    return value


class _Document:
    """Walks the objects on the path to the kept member; everything else is decoded at once."""

    def __init__(self, text: str, kept: tuple[str, ...]) -> None:
        self._text = text
        self._path = kept
        self._decoder = _decoder()
        self._kept: str | None = None

    def parse(self) -> tuple[JsonObject, str | None]:
        start = self._skip(0)
        if self._text[start : start + 1] != "{":
            self._decoder.raw_decode(self._text, start)
            raise bad_request("The body: expected an object")
        value, end = self._object(start, self._path)
        end = self._skip(end)
        if end != len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, end)
        return value, self._kept

    def _object(self, start: int, path: tuple[str, ...]) -> tuple[JsonObject, int]:
        members: JsonObject = {}
        at = self._skip(start + 1)
        if self._text[at : at + 1] == "}":
            return members, at + 1
        while True:
            if self._text[at : at + 1] != '"':
                raise json.JSONDecodeError("Expecting a member name", self._text, at)
            name, at = self._decoder.raw_decode(self._text, at)
            at = self._skip(self._expect(":", self._skip(at)))
            members[name], at = self._value(at, path[1:] if path[:1] == (name,) else None)
            at = self._skip(at)
            if self._text[at : at + 1] == "}":
                return members, at + 1
            at = self._skip(self._expect(",", at))

    def _value(self, start: int, path: tuple[str, ...] | None) -> tuple[JsonValue, int]:
        if path and self._text[start : start + 1] == "{":
            return self._object(start, path)
        value, end = self._decoder.raw_decode(self._text, start)
        if path == ():
            self._kept = self._text[start:end]
        return value, end

    def _skip(self, at: int) -> int:
        blank = _BLANK.match(self._text, at)
        return blank.end() if blank else at

    def _expect(self, mark: str, at: int) -> int:
        if self._text[at : at + 1] != mark:
            raise json.JSONDecodeError(f"Expecting {mark!r}", self._text, at)
        return at + 1


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is beyond what readers can hold")
    return value
