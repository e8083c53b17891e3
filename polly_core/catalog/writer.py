"""Writes to one atlas over HTTP: each is sent once, and says when it may have happened."""

import logging

from polly_core.catalog.paths import Paths
from polly_core.catalog.records import dataset_record, decode
from polly_core.models.catalog import (
    AtlasId,
    DatasetChange,
    DatasetId,
    DatasetRecord,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import DatasetAttributes, Document
from polly_core.transport.session import WriteSession

logger = logging.getLogger(__name__)


# A generic model is looked up at every use, which counts at a hundred thousand answers.
_DATASET = Document[DatasetAttributes]


class HttpWriter:
    """``Writer`` over HTTP. Thread-safe."""

    def __init__(self, session: WriteSession, atlas_id: AtlasId) -> None:
        self._session = session
        self._paths = Paths(atlas_id)

    def update(
        self, dataset_id: DatasetId, change: DatasetChange, stamp: WriteStamp
    ) -> DatasetRecord:
        """PATCH: only members that were set are sent. Answers the dataset as it stands then."""
        attributes = {name: getattr(change, name) for name in change.model_fields_set}
        answer = self._session.patch(
            self._paths.dataset(dataset_id),
            {
                "data": {"type": "datasets", "id": dataset_id, "attributes": attributes},
                "meta": stamp_meta(stamp),
            },
        )
        what = f"update of {dataset_id}"
        document = decode(_DATASET, answer, what=what, write=True)
        for warning in document.meta.warnings:
            logger.warning("dataset %s: %s", dataset_id, warning)
        return dataset_record(document.data)


def stamp_meta(stamp: WriteStamp) -> JsonObject:
    """``meta`` of a write."""
    params: JsonObject = {"ingestion_run_id": stamp.run_id}
    if stamp.priority is not None:
        params["priority"] = stamp.priority
    meta: JsonObject = {"ingestion_params": params}
    if stamp.expected_version_id is not None:
        meta["expected_version_id"] = stamp.expected_version_id
    return meta
