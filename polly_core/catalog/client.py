"""The catalog of an atlas, as users know it."""

import os

from polly_core.catalog.client_history import HistoryMethods
from polly_core.catalog.data import check_file_name, existing_file
from polly_core.catalog.datasets import as_file
from polly_core.catalog.envelopes import check_values, file_document
from polly_core.catalog.resources import SupplementaryFile
from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.payloads.formats import infer_format
from polly_core.transport.s3uri import SCHEME, parse_s3_uri


class Catalog(HistoryMethods):
    """
    Attributes:
        omixatlas_id: Omixatlas ID
    """

    def attach_file(
        self,
        dataset_id: str,
        path: str | os.PathLike[str],
        *,
        tag: str | None = None,
        source_version_id: str | None = None,
        file_name: str | None = None,
        **kwargs: JsonValue,
    ) -> SupplementaryFile:
        """
        Attach a supplementary file to a dataset.

        If a file with the same name already exists it is overwritten.

        Optionally, you can link the supplementary file to a specific version of a dataset.
        This will auto-delete the file if the underlying data for the dataset changes.
        Note that changes to `metadata` or `data_type` will not auto-delete the file.

        Everything that can be checked is checked before the file is uploaded.

        Args:
            dataset_id: Identifier for the dataset.
            path: Local path of the file.
            tag: An optional tag for the supplementary file.
            source_version_id: The version_id of the source dataset.
            file_name: The name of the file. If not provided the file name will be
              inferred from the path.
            **kwargs: `file_format`, where the name of the file does not tell it

        Returns:
            A SupplementaryFile instance representing the attached file.
        """
        given = kwargs.pop("file_format", None)
        if given is not None and not isinstance(given, str):
            raise InvalidInput(f"expected text as file_format, found {type(given).__name__}")
        check_values(kwargs, "kwargs")
        if isinstance(path, str) and path.startswith(SCHEME):
            if given is None or file_name is None:
                raise InvalidInput(
                    "The 'file_format' and 'file_name' need to be explicitly provided if path is "
                    f"an s3 uri (path={path!r})"
                )
            parse_s3_uri(path)
            check_file_name(file_name)
            location, file_format = path, given
        else:
            source = existing_file(path)
            file_name = source.name if file_name is None else file_name
            check_file_name(file_name)
            file_format = infer_format(source.name, given, argument="file_format").name
            self._calls.exists(self._paths.dataset(dataset_id))
            location = self._calls.upload(source, f"{dataset_id}/.sfiles/{file_name}")
        attributes: JsonObject = {
            "file_name": file_name,
            "file_s3_uri": location,
            "file_format": file_format,
            "tag": tag,
            "source_version_id": source_version_id,
            **kwargs,
        }
        path_of_files = self._paths.files(dataset_id)
        return as_file(self._calls, self._calls.post(path_of_files, file_document(attributes)))

    def get_file(self, dataset_id: str, file_name: str) -> SupplementaryFile:
        """
        Retrieves a supplementary file.

        Args:
            dataset_id: Identifier for the dataset.
            file_name: Name of the file to retrieve.

        Returns:
            A SupplementaryFile instance.
        """
        return as_file(self._calls, self._calls.get(self._paths.file(dataset_id, file_name)))

    def list_files(self, dataset_id: str) -> list[SupplementaryFile]:
        """
        Retrieves a list of all supplementary files attached to a dataset.

        Args:
            dataset_id: Identifier for the dataset.

        Returns:
            A list of SupplementaryFile instances.
        """
        return [
            as_file(self._calls, found)
            for found in self._calls.every(self._paths.files(dataset_id))
        ]

    def delete_file(self, dataset_id: str, file_name: str) -> None:
        """
        Deletes the supplementary file.

        Args:
            dataset_id: Identifier for the dataset.
            file_name: File name
        """
        self._calls.delete(self._paths.file(dataset_id, file_name))

    def clear_token_cache(self) -> None:
        """
        Clears cached S3 tokens, those for copies from and to this atlas included
        """
        self._calls.transport.credentials.clear(self._calls.atlas_id)

    def __repr__(self) -> str:
        return f"Catalog(omixatlas_id='{self.omixatlas_id}')"
