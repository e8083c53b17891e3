"""Short ways to write datasets and changes."""

from collections.abc import Collection, Mapping

from hypothesis import HealthCheck, settings

from polly_core.models.catalog import DatasetId, DatasetRecord, StudyId, VersionId
from polly_core.models.change import Change
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.resources import Loaded, load_resources, parse_change
from polly_core.planning.steps import Evaluation, Evaluator

on_a_busy_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def record(
    dataset_id: str = "GSE1", *, data_type: str = "Bulk RNAseq", study_id: str | None = None
) -> DatasetRecord:
    return DatasetRecord(
        dataset_id=DatasetId(dataset_id),
        version_id=VersionId("v1"),
        data_type=data_type,
        data_format="gct",
        data_location="s3://bucket/data?versionId=1",
        metadata_location="s3://bucket/metadata?versionId=1",
        study_id=None if study_id is None else StudyId(study_id),
        last_modified_at=1_700_000_000_000,
    )


def loaded(text: str, files: Mapping[str, str] | None = None) -> Loaded:
    change = parse_change(text.encode(), "change.yaml")
    return load_resources(change, lambda name: (files or {})[name].encode())


def evaluator(
    text: str, files: Mapping[str, str] | None = None, *, allowed: Collection[str] = ()
) -> Evaluator:
    return Evaluator(loaded(text, files), allowed_modules=allowed)


def evaluate(
    text: str,
    metadata: JsonObject,
    files: Mapping[str, str] | None = None,
    *,
    allowed: Collection[str] = (),
) -> Evaluation:
    return evaluator(text, files, allowed=allowed).evaluate(record(), metadata)


def result(text: str, metadata: JsonObject, files: Mapping[str, str] | None = None) -> JsonObject:
    return evaluate(text, metadata, files).metadata


def empty_change() -> Loaded:
    return Loaded(Change())
