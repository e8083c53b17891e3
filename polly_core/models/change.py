"""A change: what is to become of a dataset's metadata and data type, as ordered steps.

A change is written as YAML or JSON. Each step is a mapping whose first key says what it does::

    steps:
      - rename: species
        to: organism
      - map: organism
        vocabulary: organisms.yaml       # or inline: {human: Homo sapiens}
        ignore_case: true
      - map: tissue
        from: abstract
        vocabulary: {liver: liver, hepatic: liver, "bone marrow": bone marrow}
        match: words
        ignore_case: true
        results: all
      - set: too_few_samples
        value: true
        when: "metadata.number_samples < `3`"
      - join: curated.tsv
        key: project                     # the table's column
        field: accession                 # the dataset's field
        columns: {curated_disease: disease.label}
      - call: polly_core.planning.functions:repair_encoding
        field: abstract
      - set: "@data_type"
        value: Bulk RNA-seq
    validate:
      schema: schema.json                # or inline
      model: curation.models:Sample

Fields are named as ``polly_core.models.fieldpath`` says. Steps see what the steps before them did.
``when`` is JMESPath over dataset_id, data_type, study_id, last_modified_at and metadata; a step
whose ``when`` is false, empty or null does nothing to that dataset.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from polly_core.models.fieldpath import MetadataField, ReadableField, WritableField, parse_field
from polly_core.models.jsonvalue import JsonObject, JsonValue, Model, canonical_json

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


class _Step(Model):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    when: str | None = None
    """JMESPath; the step is done only where it is true."""


class Set(_Step):
    """Give a field a value. Objects on the way to it are made."""

    field: WritableField = Field(alias="set")
    value: FiniteJson


class Unset(_Step):
    """Remove a field."""

    field: MetadataField = Field(alias="unset")
    missing: Missing = "skip"


class Rename(_Step):
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


class Map(_Step):
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


class AppendUnique(_Step):
    """Add values to the end of a list where they are not in it. An absent list is made."""

    field: MetadataField = Field(alias="append_unique")
    values: tuple[FiniteJson, ...] = Field(min_length=1)


class Join(_Step):
    """Take columns of a table (CSV, TSV or JSON lines) from the row whose key is the dataset's.

    An empty cell changes nothing. Cells are text; a column headed ``name:json`` holds JSON.
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


class Call(_Step):
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


STEP_KINDS: tuple[str, ...] = ("set", "unset", "rename", "map", "append_unique", "join", "call")

_CLASSES: tuple[type[_Step], ...] = (Set, Unset, Rename, Map, AppendUnique, Join, Call)


def step_kind(step: object) -> str | None:
    """Which kind of step a model or a mapping is; None when it is none, or more than one."""
    if isinstance(step, _Step):
        return STEP_KINDS[_CLASSES.index(type(step))]
    if not isinstance(step, Mapping):
        return None
    kinds = [kind for kind in STEP_KINDS if kind in step]
    return kinds[0] if len(kinds) == 1 else None


Step: TypeAlias = Annotated[
    Annotated[Set, Tag("set")]
    | Annotated[Unset, Tag("unset")]
    | Annotated[Rename, Tag("rename")]
    | Annotated[Map, Tag("map")]
    | Annotated[AppendUnique, Tag("append_unique")]
    | Annotated[Join, Tag("join")]
    | Annotated[Call, Tag("call")],
    Discriminator(
        step_kind,
        custom_error_type="step_kind",
        custom_error_message="expected a mapping with exactly one of the keys "
        + ", ".join(STEP_KINDS),
    ),
]


class Validation(Model):
    """What the changed metadata must satisfy. Only what the change made worse is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    json_schema: JsonObject | bool | str | None = Field(default=None, alias="schema")
    """JSON Schema (draft 2020-12 unless it says another), inline or a file beside the change."""
    model: FunctionName | None = None
    """A pydantic model of an allowed module, as module:Class."""

    @model_validator(mode="after")
    def _something(self) -> "Validation":
        if self.json_schema is None and self.model is None:
            raise ValueError("validate needs schema, model or both")
        return self


class Change(Model):
    """Ordered steps and what must hold after them.

    Without steps the manifest is the change: its ``metadata.*`` and ``data_type`` columns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    steps: tuple[Step, ...] = ()
    validation: Validation | None = Field(default=None, alias="validate")

    @property
    def is_manifest_patch(self) -> bool:
        """Whether the items' manifest rows say what is to change."""
        return not self.steps

    def files(self) -> tuple[str, ...]:
        """Names of the files it refers to, each once, in order."""
        names: dict[str, None] = {}
        for step in self.steps:
            if isinstance(step, Map) and isinstance(step.vocabulary, str):
                names[step.vocabulary] = None
            elif isinstance(step, Join):
                names[step.table] = None
        if self.validation is not None and isinstance(self.validation.json_schema, str):
            names[self.validation.json_schema] = None
        return tuple(names)

    def modules(self) -> tuple[str, ...]:
        """Names of the modules it would import, each once, in order."""
        names = [step.function for step in self.steps if isinstance(step, Call)]
        if self.validation is not None and self.validation.model is not None:
            names.append(self.validation.model)
        return tuple(dict.fromkeys(name.partition(":")[0] for name in names))

    def to_json(self) -> JsonObject:
        """The form a curator writes, complete with defaults; ``model_validate`` reads it back."""
        dumped: JsonObject = self.model_dump(mode="json", by_alias=True)
        return dumped

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of change files, for editors and forms."""
        return cls.model_json_schema(by_alias=True)
