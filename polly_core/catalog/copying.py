"""Copies of datasets, within an atlas and from one to another."""

from dataclasses import dataclass

from polly_core.catalog.calls import AtlasCalls
from polly_core.catalog.data import check_file_name
from polly_core.catalog.datasets import as_dataset, as_file, find_dataset, put_dataset
from polly_core.catalog.envelopes import check_id, file_document, write_meta
from polly_core.catalog.resources import Dataset, SupplementaryFile
from polly_core.errors import CatalogError, Conflict, IncompleteCopy
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.transport.default import DefaultSession, PollySession
from polly_core.transport.s3uri import parse_s3_uri


def copy_dataset(  # noqa: PLR0913 - the tutorial's signature
    src_omixatlas_id: str,
    src_dataset_id: str,
    dest_omixatlas_id: str,
    dest_dataset_id: str,
    overwrite: bool = False,
    *,
    ingestion_params: JsonObject | None = None,
    other_params: JsonObject | None = None,
    session: PollySession | None = None,
    **kwargs: JsonValue,
) -> Dataset:
    """
    Copies a dataset from one omixatlas catalog to another.

    Any supplementary files attached to the dataset are also copied.

    The transfer happens remotely, the data is not downloaded locally.

    Everything is checked, and every object is copied, before the catalog of the destination is
    touched. Where the service can enforce it, an edit of an overwritten destination that someone
    else makes meanwhile is not lost: the copy fails with `Conflict` then.

    Args:
        src_omixatlas_id: The source omixatlas_id
        src_dataset_id: The source dataset_id
        dest_omixatlas_id: The destination omixatlas_id
        dest_dataset_id: The destination dataset_id
        overwrite: If True, overwrites the destination dataset if it already exists

    Returns:
        The dataset in the destination catalog.

    Raises:
        IncompleteCopy: the dataset was copied, but not all of its files.

    Examples:
        >>> from polly_core.data_management import copy_dataset
        >>> copy_dataset('9', 'GSE123', '17', 'GSE123_copy')
    """
    check_id(dest_dataset_id, "dest_dataset_id")
    meta = write_meta(ingestion_params, other_params)
    session_of = DefaultSession.get if session is None else lambda: session
    copier = _Copier(
        AtlasCalls(src_omixatlas_id, session_of),
        AtlasCalls(dest_omixatlas_id, session_of),
        dest_dataset_id,
    )
    dataset, files = copier.read(src_dataset_id)
    current = copier.destination(overwrite=overwrite)
    attributes: JsonObject = {
        "data_type": dataset.data_type,
        "metadata": dataset.metadata(),
        "data_s3_uri": copier.move_data(dataset),
        "data_format": dataset.data_format,
        "study_id": dataset.study_id,
        **kwargs,
    }
    moved = [(file, copier.move_file(file)) for file in files]
    copied = put_dataset(copier.target, dest_dataset_id, attributes, meta, over=current)
    copier.attach(copied, moved)
    return copied


@dataclass(frozen=True, slots=True)
class _Copier:
    """The steps of one copy. Within one atlas objects are shared, not copied."""

    source: AtlasCalls
    target: AtlasCalls
    dataset_id: str

    def read(self, dataset_id: str) -> tuple[Dataset, list[SupplementaryFile]]:
        """What is to be copied."""
        calls = self.source
        dataset = as_dataset(calls, calls.get(calls.paths.dataset(dataset_id)))
        return dataset, [
            as_file(calls, found) for found in calls.every(calls.paths.files(dataset_id))
        ]

    def destination(self, *, overwrite: bool) -> Dataset | None:
        """What is to be overwritten, or None. Raises ``Conflict`` where it may not be."""
        current = find_dataset(self.target, self.dataset_id)
        if current is not None and not overwrite:
            raise Conflict(
                "Conflict",
                f"Dataset '{self.dataset_id}' already exists in "
                f"omixatlas_id='{self.target.atlas_id}'; nothing was copied. "
                "Pass overwrite=True to replace it",
                status=409,
            )
        return current

    def move_data(self, dataset: Dataset) -> str:
        """Where the data of the copy is."""
        if self._within_one_atlas:
            return dataset.data_location
        # Ids hold no dots: the extension is what follows the first one.
        stem, dot, rest = parse_s3_uri(dataset.data_location).name.partition(".")
        extension = f".{rest}" if stem and dot else ""
        name = f"{self.dataset_id}/{self.dataset_id}{extension}"
        return self.source.copy_object(self.target, dataset.data_location, name)

    def move_file(self, file: SupplementaryFile) -> str:
        """Where the file of the copy is."""
        if self._within_one_atlas:
            return file.file_location
        check_file_name(file.file_name)
        name = f"{self.dataset_id}/.sfiles/{file.file_name}"
        return self.source.copy_object(self.target, file.file_location, name)

    def attach(self, copied: Dataset, moved: list[tuple[SupplementaryFile, str]]) -> None:
        """Attach every file; one that fails keeps no other from its turn.

        Raises:
            IncompleteCopy: it names what is missing.
        """
        missing: dict[str, str] = {}
        path = self.target.paths.files(self.dataset_id)
        for file, location in moved:
            linked = file.derived_from is not None
            attributes: JsonObject = {
                "file_name": file.file_name,
                "file_s3_uri": location,
                "file_format": file.file_format,
                "tag": file.tag,
                "source_version_id": copied.version_id if linked else None,
            }
            try:
                self.target.post(path, file_document(attributes))
            except CatalogError as error:
                missing[file.file_name] = str(error)
        if missing:
            raise IncompleteCopy(
                f"dataset '{self.dataset_id}' is in omixatlas_id='{self.target.atlas_id}' as "
                f"version {copied.version_id}, but {len(missing)} of {len(moved)} files are not "
                f"attached: {missing}. Copy it again with overwrite=True",
                missing,
            )

    @property
    def _within_one_atlas(self) -> bool:
        return self.source.atlas_id == self.target.atlas_id
