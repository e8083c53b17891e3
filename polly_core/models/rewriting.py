"""The steps that rewrite values: split, cast, replace, compute, and RFC 6902 patches."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from polly_core.models.fieldpath import ReadableField, WritableField
from polly_core.models.jsonvalue import JsonValue, Model
from polly_core.models.steps import BaseStep, FiniteJson, Missing

LONGEST_PATTERN = 2000


def _pattern(text: str) -> str:
    if len(text) > LONGEST_PATTERN:
        raise ValueError(
            f"a pattern has at most {LONGEST_PATTERN} characters, found {len(text)}; "
            "many words are better mapped by a vocabulary"
        )
    return text


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
"""A regular expression as Python's ``re`` has it. It is given a second for each text."""


class Split(BaseStep):
    """Make a list of a text, or put its parts into several fields.

    A text that is a list already has its elements split, so that doing it twice changes nothing.
    """

    field: WritableField = Field(alias="split")
    """Where the list goes."""
    source: ReadableField | None = Field(default=None, alias="from")
    """Where the text is read; the same field when absent."""
    separator: str | None = Field(default=None, min_length=1)
    """What stands between the parts."""
    pattern: Pattern | None = None
    """Or a regular expression of it."""
    into: tuple[WritableField, ...] | None = Field(default=None, min_length=2)
    """Fields that take one part each, instead of a list; there must be as many parts."""
    strip: bool = True
    """Parts lose surrounding space, and empty parts are left out (not with ``into``)."""
    unique: bool = False
    """Parts that are equal are kept once."""
    missing: Missing = "fail"

    @model_validator(mode="after")
    def _consistent(self) -> "Split":
        if (self.separator is None) == (self.pattern is None):
            raise ValueError("expected either separator or pattern")
        if self.into is None:
            return self
        if self.source is not None:
            raise ValueError("with into the text is read from the field of split; leave from away")
        if self.field in self.into or len(set(self.into)) < len(self.into):
            # The second time there would be another text to split.
            raise ValueError(f"the fields of into differ from each other and from {self.field}")
        return self


CastTo = Literal["int", "float", "str", "bool"]


class Cast(BaseStep):
    """Give a value, or each element of a list, another type. Nothing may be lost by it.

    ``"42"``, ``42.0`` and ``"42.0"`` become the whole number 42, 4.5 does not; true and false are
    written ``true``, ``false``, ``1``, ``0``, in any case. Null stays null.
    """

    field: WritableField = Field(alias="cast")
    to: CastTo
    unmatched: Literal["fail", "keep", "unset"] = "fail"
    """What becomes of a value that cannot have the type; ``unset`` removes a list's element."""
    missing: Missing = "fail"


class Replace(BaseStep):
    """Replace what a regular expression finds in a text, or in each element of a list.

    Done twice, it is done to what it made: make sure that the result is not found again.
    """

    field: WritableField = Field(alias="replace")
    source: ReadableField | None = Field(default=None, alias="from")
    """Where the text is read; the same field when absent."""
    pattern: Pattern
    replacement: str = Field(alias="with")
    r"""May name groups: ``\1``, ``\g<name>``. A backslash is written twice."""
    ignore_case: bool = False
    count: int = Field(default=0, ge=0)
    """Only so many, from the left; 0 means all."""
    unmatched: Literal["keep", "fail"] = "keep"
    """What happens where nothing is found: the text as it is, or the dataset is refused."""
    missing: Missing = "fail"


class Compute(BaseStep):
    """Give a field the value of a JMESPath expression over the dataset.

    It sees dataset_id, data_type, study_id, last_modified_at and metadata, as ``when`` does.
    """

    field: WritableField = Field(alias="compute")
    expression: str = Field(min_length=1)
    unmatched: Literal["fail", "keep", "unset", "default"] = "fail"
    """What becomes of the field where the expression gives null, as it does for what is absent."""
    default: FiniteJson = None
    """The value for ``unmatched: default``; null when absent."""

    @model_validator(mode="after")
    def _consistent(self) -> "Compute":
        if self.default is not None and self.unmatched != "default":
            raise ValueError("default is given; add unmatched: default, or leave default away")
        return self


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError(f"expected a JSON pointer like /organism, found {text!r}")
    if "~" in text.replace("~0", "").replace("~1", ""):
        raise ValueError(f"in a JSON pointer ~ is written ~0 and / is written ~1, found {text!r}")
    return text


Pointer = Annotated[str, AfterValidator(_pointer)]
_NEEDS_VALUE = frozenset({"add", "replace", "test"})
_NEEDS_FROM = frozenset({"move", "copy"})


class PatchEntry(Model):
    """One RFC 6902 operation on the metadata. Members the RFC does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: Pointer
    source: Pointer | None = Field(default=None, alias="from")
    value: FiniteJson = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if isinstance(given, dict):
            if given.get("op") in _NEEDS_VALUE and "value" not in given:
                raise ValueError(f"{given['op']} needs value")
            if given.get("op") in _NEEDS_FROM and given.get("from", given.get("source")) is None:
                raise ValueError(f"{given['op']} needs from")
        return given

    @model_validator(mode="after")
    def _outside_itself(self) -> "PatchEntry":
        if self.op == "move" and self.path.startswith(f"{self.source}/"):
            raise ValueError(f"{self.source} cannot be moved into itself, to {self.path}")
        return self


def _entries(value: JsonValue) -> JsonValue:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("expected a list of RFC 6902 operations, at least one")
    return value


class JsonPatch(BaseStep):
    """Apply RFC 6902 operations to the metadata: all of them, or the dataset is refused.

    A ``test`` that fails refuses the dataset. As the RFC says, 1 and 1.0 are equal to a test.
    """

    entries: Annotated[tuple[PatchEntry, ...], BeforeValidator(_entries)] = Field(alias="patch")
