"""Resources out of answers, and writes that must not overwrite what they have not seen."""

from polly_core.catalog.calls import AtlasCalls
from polly_core.catalog.documents import OpenResource
from polly_core.catalog.envelopes import dataset_document, expecting
from polly_core.catalog.resources import Dataset, DatasetVersion, SupplementaryFile
from polly_core.errors import NotFound
from polly_core.models.jsonvalue import JsonObject


def as_dataset(calls: AtlasCalls, resource: OpenResource) -> Dataset:
    """The resource's id wins over the attribute."""
    identity: JsonObject = {"dataset_id": resource.id} if resource.id else {}
    return Dataset(calls=calls, **{**resource.attributes, **identity})


def as_version(calls: AtlasCalls, resource: OpenResource) -> DatasetVersion:
    """The resource's id wins over the attribute."""
    return DatasetVersion(calls=calls, **{**resource.attributes, "version_id": resource.id})


def as_file(calls: AtlasCalls, resource: OpenResource) -> SupplementaryFile:
    """A supplementary file, from its attributes alone."""
    return SupplementaryFile(calls=calls, **resource.attributes)


def find_dataset(calls: AtlasCalls, dataset_id: str) -> Dataset | None:
    """The dataset as it stands, or None where there is none."""
    try:
        return as_dataset(calls, calls.get(calls.paths.dataset(dataset_id)))
    except NotFound:
        return None


def put_dataset(
    calls: AtlasCalls,
    dataset_id: str,
    attributes: JsonObject,
    meta: JsonObject,
    *,
    over: Dataset | None,
) -> Dataset:
    """Create a dataset, or overwrite it as it was seen.

    Raises:
        Conflict: it is there although none was seen, or has moved on since and the service can
            tell. Nothing was changed.
    """
    if over is None:
        document = dataset_document(dataset_id, attributes, meta)
        return as_dataset(calls, calls.post(calls.paths.datasets(), document))
    if calls.capabilities().expects_version:
        meta = expecting(meta, over.version_id)
    document = dataset_document(dataset_id, attributes, meta)
    return as_dataset(calls, calls.patch(calls.paths.dataset(dataset_id), document))
