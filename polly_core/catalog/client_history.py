"""The part of ``Catalog`` that is about versions and studies."""

from polly_core.catalog.client_datasets import DatasetMethods
from polly_core.catalog.datasets import as_version, find_dataset, put_dataset
from polly_core.catalog.envelopes import check_id, dataset_document, write_meta
from polly_core.catalog.paths import next_path
from polly_core.catalog.resources import Dataset, DatasetVersion
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.models.wire import StudyMembers


class HistoryMethods(DatasetMethods):
    """Versions, rollback, and which study a dataset belongs to."""

    def get_version(self, dataset_id: str, version_id: str) -> DatasetVersion:
        """
        Retrieves a specific version of a dataset.

        You can also use this to retrieve a version that may have been deleted.

        Args:
            dataset_id: Identifier for the dataset.
            version_id: Identifier for the dataset version.

        Returns:
            An object representing the dataset version.

        Examples:
            >>> catalog.get_version(dataset_id='GSE123', version_id='<uuid>')
            DatasetVersion(version_id='<uuid>', created_at='2023-10-29 20:41:15')
        """
        return as_version(self._calls, self._calls.get(self._paths.version(dataset_id, version_id)))

    def list_versions(
        self, dataset_id: str, *, include_deleted: bool = False
    ) -> list[DatasetVersion]:
        """
        Lists dataset versions, optionally including deleted ones.

        Args:
            dataset_id: Identifier for the dataset.
            include_deleted: If set to True, includes previously deleted versions

        Returns:
            List of dataset versions.
        """
        path = self._paths.versions(dataset_id, include_deleted=bool(include_deleted))
        return [as_version(self._calls, resource) for resource in self._calls.every(path)]

    def rollback(
        self,
        dataset_id: str,
        version_id: str,
        *,
        ingestion_params: JsonObject | None = None,
        other_params: JsonObject | None = None,
        **kwargs: JsonValue,
    ) -> Dataset:
        """
        Reverts a dataset to a specified older version.

        This function updates the dataset's `data` and `metadata` to match the specified
        version. The version ID itself is not restored. A deleted dataset comes back to life.

        Where the service can enforce it, an edit that someone else makes meanwhile is not
        overwritten: the rollback fails with `Conflict` then, and changes nothing.

        Args:
            dataset_id: Identifier for the dataset.
            version_id: Identifier for the version to roll back to.

        Returns:
            The dataset instance with the rolled back data and metadata.
        """
        meta = write_meta(ingestion_params, other_params)
        version = self.get_version(dataset_id, version_id)
        current = find_dataset(self._calls, dataset_id)
        attributes: JsonObject = {
            "data_type": version.data_type,
            "metadata": version.metadata(),
            "data_s3_uri": version.data_location,
            "data_format": version.data_format,
            **kwargs,
        }
        return put_dataset(self._calls, dataset_id, attributes, meta, over=current)

    def set_parent_study(
        self,
        dataset_id: str,
        study_id: str | None,
        *,
        ingestion_params: JsonObject | None = None,
        other_params: JsonObject | None = None,
        **kwargs: JsonValue,
    ) -> None:
        """
        Adds a dataset to a study. The study_id can be any arbitrary string.

        To remove the dataset from the study, set the study_id to None.

        Args:
            dataset_id: Identifier for the dataset
            study_id: User defined ID for the parent study

        Examples:
            Add dataset to a study
            >>> catalog.set_parent_study(dataset_id='GSE123', study_id='PMID123')

            Remove the dataset from the study
            >>> catalog.set_parent_study(dataset_id='GSE123', study_id=None)
        """
        if study_id is not None:
            check_id(study_id, "study_id")
        meta = write_meta(ingestion_params, other_params)
        document = dataset_document(dataset_id, {"study_id": study_id, **kwargs}, meta)
        self._calls.patch_unread(self._paths.dataset(dataset_id), document)

    def list_studies(self) -> list[str]:
        """
        Retrieves a list of all studies in the catalog.

        Returns:
            A list of study IDs.

        Examples:
            >>> study_ids = catalog.list_studies()
            >>> study_ids
            ['PMID123', 'PMID125', 'SCP300']
        """
        return [study.id for study in self._calls.every(self._paths.studies())]

    def list_datasets_in_study(self, study_id: str) -> list[str]:
        """
        Retrieves a list of datasets associated with a specific study.

        Args:
            study_id: Identifier for the study.

        Returns:
            A list of dataset IDs that are part of the study.

        Examples:
            >>> catalog.list_datasets_in_study(study_id='PMID123')
            ['GSE123', 'GSE123_raw']
        """
        found: list[str] = []
        link: str | None = self._paths.study(study_id)
        while link is not None:
            members = self._calls.read(link, StudyMembers)
            found.extend(member.id for member in members.relationships.datasets.data)
            link = next_path(members.links.next, after=link)
        return found
