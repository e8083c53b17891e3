"""What users hold: datasets, versions and supplementary files of a catalog."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from polly_core.catalog.calls import AtlasCalls
from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.payloads.formats import extension_for
from polly_core.transport.default import DefaultSession
from polly_core.transport.objects import parse_metadata
from polly_core.transport.s3uri import parse_s3_uri

if TYPE_CHECKING:
    from anndata import AnnData
    from cmapPy.pandasGEXpress.GCToo import GCToo

_LOADABLE = {"gct": ".gct", "gct+gzip": ".gct.gz", "h5ad": ".h5ad", "h5ad+gzip": ".h5ad.gz"}


def format_moment(milliseconds: int | None) -> str:
    """A Unix time in milliseconds as local date and time."""
    if milliseconds is None:
        return "unknown"
    moment = datetime.fromtimestamp(milliseconds / 1000.0, tz=UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class _Resource:
    """A resource with its attributes, those that this program does not know included."""

    omixatlas_id: str
    dataset_id: str
    created_at: int
    attributes: JsonObject

    def __init__(self, *, calls: AtlasCalls | None = None, **attributes: JsonValue) -> None:
        self.attributes = attributes
        self.omixatlas_id = cast("str", attributes.get("omixatlas_id"))
        self.dataset_id = cast("str", attributes.get("dataset_id"))
        self.created_at = cast("int", attributes.get("created_at"))
        self._calls = calls or AtlasCalls(self.omixatlas_id, DefaultSession.get)


class VersionBase(_Resource):
    """What a dataset and a version of it have in common."""

    data_type: str
    data_format: str
    version_id: str
    metadata_location: str
    data_location: str

    def __init__(self, *, calls: AtlasCalls | None = None, **attributes: JsonValue) -> None:
        super().__init__(calls=calls, **attributes)
        self.version_id = cast("str", attributes.get("version_id"))
        self.data_type = cast("str", attributes.get("data_type"))
        self.data_format = cast("str", attributes.get("data_format"))
        self.metadata_location = cast("str", attributes.get("metadata_location"))
        self.data_location = cast("str", attributes.get("data_location"))
        self._raw: bytes | None = None

    def prefetch(self) -> None:
        """Fetch the metadata now, so that ``metadata`` answers without the network.

        Raises:
            StorageError: it cannot be read.
        """
        if self._raw is None:
            raw = self._calls.read_object(self.metadata_location)
            parse_metadata(raw, self.metadata_location)
            self._raw = raw

    def metadata(self) -> JsonObject:
        """Retrieves the metadata of exactly this version.

        Every call returns a new dictionary: changing it changes nothing else.

        Raises:
            StorageError: it cannot be read.

        Examples:
            >>> metadata = dataset.metadata()
            >>> print(metadata)
            {'description': '...'}
        """
        if self._raw is None:
            self._raw = self._calls.read_object(self.metadata_location)
        return parse_metadata(self._raw, self.metadata_location)

    def load(self) -> "GCToo | AnnData":
        """Loads the underlying data into memory, as a GCToo or AnnData object

        Raises:
            ValueError: If the data format is not supported or cannot be determined.

        Examples:
            >>> adata = dataset.load()
        """
        suffix = _LOADABLE.get(self.data_format or "")
        if suffix is None:
            raise InvalidInput(
                f"dataset {self.dataset_id} has the format {self.data_format!r}; "
                f"{', '.join(_LOADABLE)} can be loaded. Use `dataset.download(...)` instead"
            )
        with tempfile.TemporaryDirectory(prefix="polly-") as folder:
            path = Path(folder) / f"data{suffix}"
            self._calls.download(self.data_location, path)
            return _load(path)

    def download(self, path: str | os.PathLike[str]) -> str:
        """Downloads the data. What stood at the path stays until the whole content is verified.

        Args:
            path: Can be a directory or a file path.

        Returns:
            The relative path where the data was downloaded

        Examples:
            >>> dataset.download('./mydataset.h5ad')
        """
        stored = parse_s3_uri(self.data_location).name
        extension = extension_for(self.data_format, stored)
        target = target_path(path, f"{self.dataset_id}{extension}")
        self._calls.download(self.data_location, Path(target))
        return target


class Dataset(VersionBase):
    """
    Class that represents a dataset

    Attributes:
        dataset_id: Dataset Identifier
        omixatlas_id: OmixAtlas ID (e.g. `'1673411159486'`)
        data_type: Data type (e.g. `Single Cell RNASeq`)
        data_format: Storage format for the data (e.g. `h5ad`, `gct`)
        version_id: Unique version identifier
        study_id: Identifier for the parent study
        last_modified_at: Unix timestamp (ms) for when the dataset was last modified
    """

    study_id: str | None
    last_modified_at: int

    def __init__(self, *, calls: AtlasCalls | None = None, **attributes: JsonValue) -> None:
        super().__init__(calls=calls, **attributes)
        self.study_id = cast("str | None", attributes.get("study_id"))
        self.last_modified_at = cast("int", attributes.get("last_modified_at"))

    def __repr__(self) -> str:
        start = (
            f"Dataset(dataset_id='{self.dataset_id}', data_type='{self.data_type}', "
            f"last_modified_at='{format_moment(self.last_modified_at)}', "
        )
        if self.study_id is None:
            return f"{start}data_format='{self.data_format}')"
        # The vendor's client leaves out the quotes here, and its reprs are what people compare.
        return f"{start}data_format={self.data_format}, study_id='{self.study_id}')"


class DatasetVersion(VersionBase):
    """
    Class that represents an immutable version of a dataset

    Attributes:
        dataset_id: Dataset Identifier
        omixatlas_id: OmixAtlas ID (e.g. `'1673411159486'`)
        data_type: Data type (e.g. `Single Cell RNASeq`)
        data_format: Storage format for the data (e.g. `h5ad`, `gct`)
        version_id: Unique version identifier
        created_at: Unix timestamp (ms) for when this version was created
    """

    def __repr__(self) -> str:
        created_at = format_moment(self.created_at)
        return f"DatasetVersion(version_id='{self.version_id}', created_at='{created_at}')"


class SupplementaryFile(_Resource):
    """
    Class that represents a supplementary file

    Attributes:
        dataset_id: Dataset Identifier
        omixatlas_id: OmixAtlas ID (e.g. `'1673411159486'`)
        file_name: Unique identifier for the file
        file_format: Format of the file (e.g. `vcf`, `csv`, `pdf`)
        tag: An optional tag for the file
        created_at: Unix timestamp (ms) for when the file was added (or modified)
    """

    file_name: str
    file_format: str
    file_location: str
    tag: str | None
    derived_from: str | None

    def __init__(self, *, calls: AtlasCalls | None = None, **attributes: JsonValue) -> None:
        super().__init__(calls=calls, **attributes)
        self.file_name = cast("str", attributes.get("file_name"))
        self.file_format = cast("str", attributes.get("file_format"))
        self.file_location = cast("str", attributes.get("file_location"))
        self.tag = cast("str | None", attributes.get("tag"))
        self.derived_from = cast("str | None", attributes.get("derived_from"))

    def __repr__(self) -> str:
        tag = f", tag='{self.tag}'" if self.tag is not None else ""
        derived_from = ", derived_from=..." if self.derived_from is not None else ""
        return (
            f"SupplementaryFile(file_name='{self.file_name}', file_format='{self.file_format}', "
            f"created_at='{format_moment(self.created_at)}'{tag}{derived_from})"
        )

    def download(self, path: str | os.PathLike[str]) -> str:
        """Downloads the file. What stood at the path stays until the whole content is verified.

        Args:
            path: Can be a directory or a file path.

        Returns:
            The relative path where the data was downloaded

        Examples:
            >>> supplementary_file.download('./')
        """
        target = target_path(path, self.file_name)
        self._calls.download(self.file_location, Path(target))
        return target


def target_path(path: str | os.PathLike[str], name: str) -> str:
    """Where a download goes: the path itself, or ``name`` in it where it is a folder.

    Raises:
        InvalidInput: the name would lead out of the folder.
    """
    text = os.fspath(path)
    separators = tuple(filter(None, (os.sep, os.altsep)))
    if not text.endswith(separators) and not Path(text).is_dir():
        return text
    if name in {"", ".", ".."} or any(sign in name for sign in (*separators, "\0")):
        raise InvalidInput(
            f"{name!r} cannot be a file in the folder {text!r}; give the path of a file to "
            "download it under another name"
        )
    return os.path.join(text, name)  # noqa: PTH118 - a Path would drop the leading './'


def _load(path: Path) -> "GCToo | AnnData":
    if ".gct" in path.suffixes:
        from polly_core.payloads.gct import read_gct

        return read_gct(path)
    from polly_core.payloads.h5ad import read_h5ad

    return read_h5ad(path)
