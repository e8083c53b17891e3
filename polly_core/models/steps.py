"""The steps a change is made of. ``polly_core.models.change`` says how they are written."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from polly_core.models.fieldpath import MetadataField, ReadableField, WritableField, parse_field
from polly_core.models.jsonvalue import JsonValue, Model, canonical_json

Missing = Literal["skip", "fail"]
"""What a step does to a dataset that lacks the field it needs."""

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def _function_name(text: str) -> str:
    if not _FUNCTION.fullmatch(text):
        raise ValueError(f"expected module:name, as in curation.fixes:trim, found {text!r}")
    return text


def _text_keys(value: object) -> object:
    # YAML reads 9606: as a number and no: as false; a vocabulary means the text.
    if not isinstance(value, Mapping):
        return value
    odd = [key for key in value if type(key) not in (str, int)]
    if odd:
        raise ValueError(f"expected text as key, found {odd[0]!r}; write it in quotes")
    return {str(key): found for key, found in value.items()}


def _finite(value: JsonValue) -> JsonValue:
    canonical_json(value)
    return value


FiniteJson = Annotated[JsonValue, AfterValidator(_finite)]
"""JSON without NaN and infinities, which a Python caller could give."""
FunctionName = Annotated[str, AfterValidator(_function_name)]
Vocabulary = Annotated[dict[str, FiniteJson], BeforeValidator(_text_keys)]


class BaseStep(Model):
    """What every step has."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    when: str | None = None
    """JMESPath; the step is done only where it is true."""


class Set(BaseStep):
    """Give a field a value. Objects on the way to it are made."""

    field: WritableField = Field(alias="set")
    value: FiniteJson


class Unset(BaseStep):
    """Remove a field."""

    field: MetadataField = Field(alias="unset")
    missing: Missing = "skip"


class Rename(BaseStep):
    """Move a value to another field. Where only the target is there, it was done before."""

    field: MetadataField = Field(alias="rename")
    to: MetadataField
    existing: Literal["fail", "overwrite", "keep"] = "fail"
    """What happens where both are there and differ: refuse, take the source, or keep the target
    (and drop the source)."""
    missing: Missing = "fail"

    @model_validator(mode="after")
    def _apart(self) -> "Rename":
        old, new = parse_field(self.field).keys, parse_field(self.to).keys
        if old[: len(new)] == new or new[: len(old)] == old:
            # Doing it twice would do it again.
            raise ValueError(f"one of {self.field} and {self.to} lies inside the other")
        return self


class Map(BaseStep):
    """Translate by a vocabulary: a value, each element of a list, or words in a text."""

    field: WritableField = Field(alias="map")
    """Where the result goes."""
    source: ReadableField | None = Field(default=None, alias="from")
    """Where the value is read; the same field when absent."""
    vocabulary: Vocabulary | str
    """Inline, or a file beside the change: YAML or JSON (a mapping), CSV or TSV (a header, then
    two columns: found, wanted)."""
    match: Literal["value", "words"] = "value"
    """``value``: the whole value is looked up. ``words``: whole words of a text are, the longest
    entry first; whatever is neither letter, digit nor underscore separates words."""
    results: Literal["first", "all"] = "first"
    """With ``words``: the first entry found, or a list of all different ones in order."""
    ignore_case: bool = False
    unique: bool = False
    """Elements of a list that became equal are kept once."""
    unmatched: Literal["keep", "unset", "fail", "default"] = "keep"
    """What becomes of the field where nothing matches. ``keep`` leaves the field as it is."""
    default: FiniteJson = None
    """The value for ``unmatched: default``; null when absent."""
    missing: Missing = "fail"

    @model_validator(mode="after")
    def _consistent(self) -> "Map":
        if self.default is not None and self.unmatched != "default":
            raise ValueError("default is given; add unmatched: default, or leave default away")
        if self.results == "all" and self.match != "words":
            raise ValueError("results: all needs match: words")
        return self


class AppendUnique(BaseStep):
    """Add values to the end of a list where they are not in it. An absent list is made."""

    field: MetadataField = Field(alias="append_unique")
    values: tuple[FiniteJson, ...] = Field(min_length=1)


class Join(BaseStep):
    """Take columns of a table (CSV, TSV, JSON lines, Parquet) from the row whose key is the
    dataset's.

    An empty cell changes nothing. Cells are text, or what a column's head says: ``name:int``,
    ``:float``, ``:bool``, ``:str``, ``:json``.
    """

    table: str = Field(alias="join", min_length=1)
    key: str = "dataset_id"
    """The table's column that is compared; its values must differ."""
    field: ReadableField = "@dataset_id"
    """The dataset's field that is compared with it."""
    columns: dict[str, WritableField] | tuple[str, ...] | None = None
    """Column to field, or columns that are called as their field; all but the key when absent."""
    unmatched: Literal["keep", "fail"] = "keep"
    """What happens to a dataset whose key is not in the table."""
    missing: Missing = "fail"


class Call(BaseStep):
    """Call a Python function of an allowed module.

    With ``field``: ``function(value, dataset, **arguments)`` returns the field's new value.
    Without: ``function(dataset, **arguments)`` returns the new metadata. ``dataset`` is a
    ``polly_core.planning.steps.DatasetView``; its metadata is a copy. The function must return
    the same for the same input.
    """

    function: FunctionName = Field(alias="call")
    field: WritableField | None = None
    source: ReadableField | None = Field(default=None, alias="from")
    """Where ``value`` is read; the same field when absent."""
    arguments: dict[str, FiniteJson] = Field(default_factory=dict)
    missing: Missing = "fail"

    @model_validator(mode="after")
    def _consistent(self) -> "Call":
        if self.source is not None and self.field is None:
            raise ValueError("from needs field, where the result goes")
        return self
