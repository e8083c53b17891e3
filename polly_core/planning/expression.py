"""JMESPath over a dataset, compiled once; errors have the position."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, cast

import jmespath
from jmespath import exceptions
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from polly_core.errors import InvalidInput
from polly_core.models.catalog import DatasetRecord
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.lookups import lookups
from polly_core.planning.values import shown

ATTRIBUTES = ("dataset_id", "data_type", "study_id", "last_modified_at")
NAMES = (*ATTRIBUTES, "metadata")

# Their first child is evaluated where they stand, the others on what it gave.
_FIRST_CHILD_ONLY = frozenset(
    {"subexpression", "index_expression", "pipe", "projection", "value_projection",
     "filter_projection"}
)  # fmt: skip
_WHOLE = frozenset({"current", "identity"})
_TOO_DEEP = "it is nested too deeply"


class ExpressionFailed(Exception):
    """The expression cannot be evaluated on one dataset. The message says why."""


class Expression:
    """A compiled expression. Thread-safe.

    Attributes:
        text: as it was written.
        needs_metadata: whether its value depends on the metadata.
    """

    def __init__(self, text: str, purpose: str) -> None:
        """Compile.

        Args:
            purpose: where it was written, for messages: ``--where``, ``step 2 (set), when``.

        Raises:
            InvalidInput: it is no JMESPath, or asks for a name that no dataset has.
        """
        self.text = text
        try:
            parsed: Any = jmespath.compile(text).parsed
            functions = set(_functions(parsed)) - set(Functions.FUNCTION_TABLE)
            names = set(_root_names(parsed))
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{purpose}: {_syntax(text, error)}") from None
        if functions:
            raise InvalidInput(f"{purpose}: {text!r} calls {min(functions)}(), which is unknown")
        unknown = sorted(names - {*NAMES, "@"})
        if unknown:
            raise InvalidInput(f"{purpose}: {_unknown(text, unknown[0])}")
        self._parsed = parsed
        # One interpreter for every call: a new one each time costs more than most expressions. It
        # keeps nothing but a cache of its own methods.
        self._interpreter = TreeInterpreter()
        self.needs_metadata = bool(names & {"metadata", "@"})

    def search(self, document: Mapping[str, JsonValue]) -> JsonValue:
        """Its value on a dataset.

        Raises:
            ExpressionFailed: it does with a value what cannot be done with that; the message has
                the values that it looked at.
        """
        try:
            value: JsonValue = self._interpreter.visit(self._parsed, document)
        except Exception as error:  # noqa: BLE001 - the library lets through what Python raises
            found = told(self.looked_at(document))
            said = f"{_reason(error)}, found {found}" if found else _reason(error)
            raise ExpressionFailed(f"{self.text!r} cannot be evaluated: {said}") from None
        return value

    def holds(self, document: Mapping[str, JsonValue]) -> bool:
        """Whether it is true as JMESPath has it: not null, false or empty; 0 is true.

        Raises:
            ExpressionFailed: as ``search``.
        """
        value = self.search(document)
        return not (value is None or value is False or value in ("", [], {}))

    def looked_at(self, document: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """What stands at each path that it looks up on a dataset; null where nothing does."""
        return {
            path: self._interpreter.visit(cast(Any, node), document)
            for path, node in lookups(self._parsed).items()
        }


def told(values: Mapping[str, JsonValue]) -> str:
    """What stands at paths, in words."""
    text = ", ".join(f"{path} is {shown(value)}" for path, value in values.items())
    # Metadata may hold what no terminal and no file in UTF-8 takes.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def document_of(record: DatasetRecord, metadata: JsonObject | None) -> dict[str, JsonValue]:
    """What expressions see of a dataset."""
    return {
        "dataset_id": record.dataset_id,
        "data_type": record.data_type,
        "study_id": record.study_id,
        "last_modified_at": record.last_modified_at,
        "metadata": metadata,
    }


def _root_names(node: dict[str, Any]) -> Iterator[str]:
    """Names that are looked up on the dataset itself; ``@`` where the whole of it is used."""
    kind = node["type"]
    children = node["children"]
    if kind == "field":
        yield node["value"]
    elif kind in _WHOLE:
        yield "@"
    elif kind in _FIRST_CHILD_ONLY:
        yield from _root_names(children[0])
    elif kind not in ("expref", "literal", "slice"):
        for child in children:
            if isinstance(child, dict):
                yield from _root_names(child)


def _functions(node: dict[str, Any]) -> Iterator[str]:
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _functions(child)


def _reason(error: Exception) -> str:
    """Why it cannot be evaluated, without any value of the dataset."""
    match error:
        case exceptions.JMESPathTypeError():
            kinds = " or ".join(error.expected_types)
            return f"{error.function_name}() takes {kinds}, not {error.actual_type}"
        case TypeError():
            return "it compares values of different types"
        case RecursionError():
            return _TOO_DEEP
        case _:
            return " ".join(str(error).split())


def _syntax(text: str, error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return f"an expression of {len(text)} characters cannot be used: {_TOO_DEEP}"
    # An unfinished expression has its position set to the end, a lexer's error names its own.
    position = getattr(error, "lexer_position", getattr(error, "lex_position", None))
    if not isinstance(position, int) or position > len(text):
        position = len(text)
    token = getattr(error, "token_value", None)
    what = f"unexpected {token!r}" if token not in (None, "") else "it ends too early"
    if isinstance(error, exceptions.EmptyExpressionError):
        return "the expression is empty; expected JMESPath, as in data_type == 'Bulk RNAseq'"
    hint = "; numbers and true, false, null are written in backticks: `3`, texts in quotes: 'x'"
    return f"{text!r} is no JMESPath: position {position + 1}, {what}{hint}"


def _unknown(text: str, name: str) -> str:
    close = get_close_matches(name, NAMES, n=1)
    advice = f"a metadata field is metadata.{name}, a text is written '{name}'"
    if close:
        advice = f"did you mean {close[0]}?"
    return f"{text!r} asks for {name!r}; expected one of {', '.join(NAMES)}; {advice}"
