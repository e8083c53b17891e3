"""Writes to one atlas over HTTP: each is sent once, and says when it may have happened."""

import logging

from polly_core.catalog.documents import BareDocument
from polly_core.catalog.envelopes import dataset_document, file_document
from polly_core.catalog.paths import Paths
from polly_core.catalog.records import dataset_record, decode, file_record
from polly_core.models.catalog import (
    AtlasId,
    DatasetChange,
    DatasetId,
    DatasetRecord,
    FileRecord,
    NewDataset,
    NewFile,
    WriteStamp,
)
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import DatasetAttributes, Document, FileAttributes, Meta
from polly_core.transport.answers import Answer
from polly_core.transport.session import WriteSession

logger = logging.getLogger(__name__)


# A generic model is looked up at every use, which counts at a hundred thousand answers.
_DATASET = Document[DatasetAttributes]
_FILE = Document[FileAttributes]


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
            dataset_document(dataset_id, attributes, stamp_members(stamp)),
        )
        return _dataset(answer, dataset_id, f"update of {dataset_id}")

    def create(
        self, dataset_id: DatasetId, dataset: NewDataset, stamp: WriteStamp
    ) -> DatasetRecord:
        """POST: ``Conflict`` where the id lives. A deleted id gets a new life."""
        attributes: JsonObject = {
            "data_type": dataset.data_type,
            "metadata": dataset.metadata,
            "data_s3_uri": dataset.data_s3_uri,
            "data_format": dataset.data_format,
        }
        if dataset.study_id is not None:
            attributes["study_id"] = dataset.study_id
        answer = self._session.post(
            self._paths.datasets(),
            dataset_document(dataset_id, attributes, stamp_members(stamp)),
        )
        return _dataset(answer, dataset_id, f"creation of {dataset_id}")

    def trigger(self, dataset_id: DatasetId, stamp: WriteStamp) -> None:
        """Ask for an ingestion of the dataset as it stands; nothing else changes."""
        answer = self._session.patch(
            self._paths.dataset(dataset_id), dataset_document(dataset_id, {}, stamp_members(stamp))
        )
        _unread(answer, dataset_id, f"ingestion of {dataset_id}")

    def delete(self, dataset_id: DatasetId, stamp: WriteStamp) -> None:
        """Delete; ``NotFound`` where it is not live. Its files are gone for good."""
        answer = self._session.delete(self._paths.deletion(dataset_id, stamp_members(stamp)))
        _unread(answer, dataset_id, f"deletion of {dataset_id}")

    def attach(self, dataset_id: DatasetId, file: NewFile) -> FileRecord:
        """Attach a file that is in the store, in the place of one of the same name."""
        answer = self._session.post(
            self._paths.files(dataset_id), file_document(file.model_dump(mode="json"))
        )
        what = f"attachment of {file.file_name!r} to {dataset_id}"
        document = decode(_FILE, answer, what=what, write=True)
        _log(document.meta, dataset_id)
        return file_record(document.data)

    def detach(self, dataset_id: DatasetId, file_name: str) -> None:
        """Remove a supplementary file; ``NotFound`` where there is none."""
        answer = self._session.delete(self._paths.file(dataset_id, file_name))
        _unread(answer, dataset_id, f"removal of {file_name!r} from {dataset_id}")


def stamp_members(stamp: WriteStamp) -> JsonObject:
    """``meta`` of a PATCH or POST, and ``params`` of a DELETE."""
    params: JsonObject = {"ingestion_run_id": stamp.run_id, **stamp.flags}
    if stamp.priority is not None:
        params["priority"] = stamp.priority
    members: JsonObject = {"ingestion_params": params}
    if stamp.expected_version_id is not None:
        members["expected_version_id"] = stamp.expected_version_id
    return members


def _dataset(answer: Answer, dataset_id: DatasetId, what: str) -> DatasetRecord:
    document = decode(_DATASET, answer, what=what, write=True)
    _log(document.meta, dataset_id)
    return dataset_record(document.data)


def _unread(answer: Answer, dataset_id: DatasetId, what: str) -> None:
    """An answer that says no more than that it happened; a body is there for its warnings."""
    if answer.body.strip():
        _log(decode(BareDocument, answer, what=what, write=True).meta, dataset_id)


def _log(meta: Meta, dataset_id: DatasetId) -> None:
    for warning in meta.warnings:
        logger.warning("dataset %s: %s", dataset_id, warning)
