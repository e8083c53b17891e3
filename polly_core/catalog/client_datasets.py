"""The part of ``Catalog`` that is about datasets."""

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from polly_core.catalog.calls import AtlasCalls
from polly_core.catalog.data import Local, Stored, open_data
from polly_core.catalog.datasets import as_dataset
from polly_core.catalog.envelopes import (
    check_id,
    check_metadata,
    check_values,
    dataset_document,
    expecting,
    write_meta,
)
from polly_core.catalog.parallel import run_parallel
from polly_core.catalog.resources import Dataset
from polly_core.errors import Conflict, InvalidInput, NotFound
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.transport.default import DefaultSession, PollySession

if TYPE_CHECKING:
    from polly_core.catalog.data import DataArgument

logger = logging.getLogger(__name__)

_LISTING_PAGE = 500
_PREFETCH_THREADS = 20


class DatasetMethods:
    """Datasets: create, read, change, delete, list."""

    omixatlas_id: str

    def __init__(self, omixatlas_id: str, *, session: PollySession | None = None) -> None:
        """
        Initializes the internal data Catalog for a given OmixAtlas

        Without a session of its own it uses the one of ``Polly.auth``, at each call the one of
        that moment.

        Args:
            omixatlas_id: The identifier for the OmixAtlas

        Raises:
            NotAuthenticated: no session was given and ``Polly.auth`` was not called.

        Examples:
            >>> catalog = Catalog(omixatlas_id='9')
        """
        session_of: Callable[[], PollySession]
        session_of = DefaultSession.get if session is None else lambda: session
        session_of()
        self.omixatlas_id = omixatlas_id
        self._calls = AtlasCalls(omixatlas_id, session_of)
        self._paths = self._calls.paths

    def create_dataset(
        self,
        dataset_id: str,
        data_type: str,
        data: "DataArgument",
        metadata: JsonObject,
        *,
        ingestion_params: JsonObject | None = None,
        other_params: JsonObject | None = None,
        **kwargs: JsonValue,
    ) -> Dataset:
        """
        Creates a new dataset in the catalog.

        Raises an error if a dataset with the same ID already exists. Everything that can be
        checked is checked before data is uploaded.

        Args:
            dataset_id: The unique identifier for the dataset.
            data_type: The type of data being uploaded (e.g. `Single Cell RNASeq`).
            data: The data, either as a file or as an AnnData or GCToo object
            metadata: The metadata dictionary
            ingestion_params: priority, ingestion_run_id and indexing flags
            other_params: further members of the request's `meta`
            **kwargs: `data_format`, where the name of the file does not tell it; `study_id`

        Returns:
            Newly created dataset.

        Examples:
            >>> new_dataset = catalog.create_dataset(
            ...     dataset_id='GSE123',
            ...     data_type='Bulk RNAseq',
            ...     data='path/to/data/file.gct',
            ...     metadata={'description': 'New dataset description'}
            ... )
        """
        check_id(dataset_id, "dataset_id")
        check_metadata(metadata)
        meta = write_meta(ingestion_params, other_params)
        data_format = _text(kwargs.pop("data_format", None), "data_format")
        check_values(kwargs, "kwargs")
        with open_data(data, data_format) as source:
            if isinstance(source, Local):
                self._require_absent(dataset_id)
            stored = self._store(dataset_id, source)
        attributes: JsonObject = {
            "data_type": data_type,
            "metadata": metadata,
            "data_s3_uri": stored.location,
            "data_format": stored.data_format,
            **kwargs,
        }
        document = dataset_document(dataset_id, attributes, meta)
        return as_dataset(self._calls, self._calls.post(self._paths.datasets(), document))

    def get_dataset(self, dataset_id: str) -> Dataset:
        """
        Retrieves the dataset with the given dataset_id if it exists

        This function doesn't download the underlying data, it only returns a reference to it

        Args:
            dataset_id: The unique identifier for the dataset to retrieve.

        Returns:
            An object representing the retrieved dataset.

        Examples:
            >>> dataset = catalog.get_dataset(dataset_id='GSE123')
            >>> dataset
            Dataset(dataset_id='GSE123', data_type='Bulk RNAseq', last_modified_at='2023-11-07 15:42:40', data_format='gct')
        """  # noqa: E501 - the repr is one line
        return as_dataset(self._calls, self._calls.get(self._paths.dataset(dataset_id)))

    def update_dataset(
        self,
        dataset_id: str,
        data_type: str | None = None,
        metadata: JsonObject | None = None,
        data: "DataArgument | None" = None,
        *,
        ingestion_params: JsonObject | None = None,
        other_params: JsonObject | None = None,
        expected_version_id: str | None = None,
        **kwargs: JsonValue,
    ) -> Dataset:
        """
        Updates one or more attributes of a dataset.

        Every update creates a new version of the dataset. Everything that can be checked is
        checked before data is uploaded.

        Args:
            dataset_id: Identifier for the dataset.
            data_type: The type of data being uploaded (e.g. `Single Cell RNASeq`).
            data: The data, either as a file or as an AnnData or GCToo object
            metadata: The metadata dictionary
            ingestion_params: priority, ingestion_run_id and indexing flags
            other_params: further members of the request's `meta`
            expected_version_id: the version that the change is based on; where the dataset has
                moved on, the update fails with `Conflict` and changes nothing. A service that
                cannot enforce it is asked just before, which leaves a short moment open.
            **kwargs: `data_format`, where the name of the file does not tell it; `study_id`

        Returns:
            The updated dataset

        Examples:
            >>> updated_dataset = catalog.update_dataset(
            ...     dataset_id='GSE123',
            ...     metadata={'new': 'metadata'}
            ... )
        """
        attributes: JsonObject = {**kwargs}
        if data_type is not None:
            attributes["data_type"] = data_type
        if metadata is not None:
            check_metadata(metadata)
            attributes["metadata"] = metadata
        if not attributes and data is None:
            raise InvalidInput(f"Nothing to update for dataset {dataset_id!r}")
        meta = write_meta(ingestion_params, other_params)
        if expected_version_id is not None:
            meta = self._expecting(dataset_id, meta, expected_version_id)
        check_values(kwargs, "kwargs")
        if data is not None:
            data_format = _text(kwargs.get("data_format"), "data_format")
            with open_data(data, data_format) as source:
                if isinstance(source, Local):
                    self._calls.exists(self._paths.dataset(dataset_id))
                stored = self._store(dataset_id, source)
            attributes["data_s3_uri"] = stored.location
            attributes["data_format"] = stored.data_format
        document = dataset_document(dataset_id, attributes, meta)
        return as_dataset(self._calls, self._calls.patch(self._paths.dataset(dataset_id), document))

    def delete_dataset(self, dataset_id: str, **kwargs: JsonValue) -> None:
        """
        Performs a soft deletion of the dataset

        Args:
            dataset_id: Identifier for the dataset to be deleted.

        Examples:
            >>> catalog.delete_dataset(dataset_id='GSE123')
        """
        self._calls.delete(self._paths.deletion(dataset_id, kwargs))

    def iter_datasets(
        self, *, limit: int | None = None, page_size: int | None = None
    ) -> Iterator[Dataset]:
        """
        Streams the datasets in the catalog, in the order of their ids.

        A page is asked for when the one before it is used up, so memory is flat, and what was
        yielded before a failure is not lost.

        Args:
            limit: The most datasets that are yielded
            page_size: Datasets per request; the service may lower it

        Examples:
            >>> for dataset in catalog.iter_datasets():
            ...     print(dataset.dataset_id)
        """
        if limit is not None and limit < 0:
            raise InvalidInput(f"expected a limit of at least 0, found {limit}")
        size = page_size or _LISTING_PAGE
        if limit is not None:
            size = max(1, min(size, limit))
        path = self._paths.datasets(page_size=size)
        found = (as_dataset(self._calls, resource) for resource in self._calls.every(path))
        # With a limit of 0 nothing is asked for at all.
        return found if limit is None else islice(found, limit)

    def list_datasets(
        self, *, limit: int | None = None, prefetch_metadata: bool = False
    ) -> list[Dataset]:
        """
        Retrieves the complete list of datasets in the catalog.

        If `prefetch_metadata` is `True` the metadata json is downloaded in advance
        using multiple threads. This makes the `dataset.metadata()` function call
        return instantly. This is useful for bulk metadata download.

        A metadata object that cannot be read is logged and keeps no other from being fetched;
        `metadata()` of that dataset tries again and then raises.

        Args:
            limit: Limits the number of datasets that are returned
            prefetch_metadata: Prefetches metadata for each dataset

        Returns:
            A list of Dataset instances.

        Examples:
            >>> datasets = catalog.list_datasets()
            >>> len(datasets)
            148
        """
        datasets = list(self.iter_datasets(limit=limit))
        if prefetch_metadata and datasets:
            threads = min(_PREFETCH_THREADS, len(datasets))
            report = run_parallel(datasets, Dataset.prefetch, max_workers=threads)
            for failure in report.failures:
                logger.warning(
                    "metadata of dataset %s not prefetched: %s",
                    failure.item.dataset_id,
                    failure.error,
                )
        return datasets

    def trigger_ingestion(
        self,
        dataset_id: str,
        *,
        ingestion_params: JsonObject | None = None,
        other_params: JsonObject | None = None,
    ) -> JsonObject:
        """
        A helper function to manually trigger ingestion for a dataset

        Args:
            dataset_id: Identifier for the dataset.
        """
        meta = write_meta(ingestion_params, other_params)
        document = dataset_document(dataset_id, {}, meta)
        return self._calls.patch_unread(self._paths.dataset(dataset_id), document)

    def __contains__(self, dataset_id: str) -> bool:
        """
        Check if a dataset with the given dataset_id exists in the catalog.

        Args:
            dataset_id: Identifier for the dataset.

        Returns:
            True if the dataset exists, False otherwise.
        """
        try:
            path = self._paths.dataset(dataset_id)
        except InvalidInput:
            # No dataset can have such an id.
            return False
        try:
            self._calls.exists(path)
        except NotFound:
            return False
        return True

    def _require_absent(self, dataset_id: str) -> None:
        if dataset_id in self:
            raise Conflict(
                "Conflict",
                f"Dataset '{dataset_id}' already exists in omixatlas_id='{self.omixatlas_id}'; "
                "nothing was uploaded. Use update_dataset to change it",
                status=409,
            )

    def _expecting(self, dataset_id: str, meta: JsonObject, version_id: str) -> JsonObject:
        """``meta`` with a precondition; where the service has none it is checked here and now."""
        if self._calls.capabilities().expects_version:
            return expecting(meta, version_id)
        found = self.get_dataset(dataset_id).version_id
        if found != version_id:
            raise Conflict(
                "Conflict",
                f"Dataset '{dataset_id}' is at version {found}, expected {version_id}; "
                "nothing was changed",
                status=409,
            )
        return meta

    def _store(self, dataset_id: str, source: Stored | Local) -> Stored:
        """Data in the object store, uploaded where it is not there yet."""
        if isinstance(source, Stored):
            return source
        name = f"{dataset_id}/{dataset_id}{source.extension}"
        return Stored(self._calls.upload(source.path, name), source.data_format)


def _text(value: JsonValue, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidInput(f"expected text as {name}, found {type(value).__name__}")
