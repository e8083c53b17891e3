r"""A change: what is to become of a dataset's metadata and data type, as ordered steps.

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
      - split: keywords
        separator: ";"                   # or pattern: a regular expression
      - cast: age
        to: int
      - replace: title
        pattern: "\\s+"
        with: " "
      - compute: samples
        expression: length(metadata.sample_ids)
      - patch:                           # RFC 6902
          - {op: test, path: /status, value: draft}
          - {op: replace, path: /status, value: curated}
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

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.rewriting import Cast, Compute, JsonPatch, PatchEntry, Replace, Split
from polly_core.models.steps import (
    AppendUnique,
    BaseStep,
    Call,
    FunctionName,
    Join,
    Map,
    Missing,
    Rename,
    Set,
    Unset,
)

__all__ = [
    "STEP_KINDS", "AppendUnique", "Call", "Cast", "Change", "Compute", "Join", "JsonPatch", "Map",
    "Missing", "PatchEntry", "Rename", "Replace", "Set", "Split", "Step", "Unset", "Validation",
    "step_kind",
]  # fmt: skip

_CLASSES: dict[str, type[BaseStep]] = {
    "set": Set,
    "unset": Unset,
    "rename": Rename,
    "map": Map,
    "append_unique": AppendUnique,
    "join": Join,
    "split": Split,
    "cast": Cast,
    "replace": Replace,
    "compute": Compute,
    "patch": JsonPatch,
    "call": Call,
}
STEP_KINDS: tuple[str, ...] = tuple(_CLASSES)


def step_kind(step: object) -> str | None:
    """Which kind of step a model or a mapping is; None when it is none, or more than one."""
    if isinstance(step, BaseStep):
        return next(kind for kind, known in _CLASSES.items() if type(step) is known)
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
    | Annotated[Split, Tag("split")]
    | Annotated[Cast, Tag("cast")]
    | Annotated[Replace, Tag("replace")]
    | Annotated[Compute, Tag("compute")]
    | Annotated[JsonPatch, Tag("patch")]
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
