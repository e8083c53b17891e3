"""A data file that an item brings along: looked into, pinned, compared with what stands there."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from polly_core.catalog.data import check_file_name
from polly_core.catalog.ports import Reader
from polly_core.errors import InvalidInput, ObjectMissing, StorageDenied
from polly_core.models.catalog import DatasetId, ObjectStat
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ObjectSource
from polly_core.operations.fetching import Fetcher, sha256_of
from polly_core.payloads.content import Kind, content_of
from polly_core.payloads.formats import GZIPPED, FileFormat, infer_format
from polly_core.payloads.inspection import INSPECTABLE, Inspection, inspect
from polly_core.planning.values import ABSENT, get_field, shown
from polly_core.transport.etags import content_matches, upload_etag
from polly_core.transport.foreign import file_name
from polly_core.transport.s3uri import SCHEME

# Formats that are GCT text or HDF5 inside, by what the content has to be.
_INSIDE = {"gct": Kind.GCT, "gctx": Kind.HDF5, "h5ad": Kind.HDF5, "h5": Kind.HDF5,
           "h5seurat": Kind.HDF5}  # fmt: skip
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Incoming:
    """Bytes that are wanted in the atlas: to be uploaded, or there already."""

    source: ObjectSource | None
    """None where they are an object of the atlas already."""
    location: str | None
    """Of that object, pinned."""
    same: bool = False
    """What stands there has the same content."""


@dataclass(frozen=True, slots=True)
class IncomingData:
    """A data file that can be loaded and is what it claims to be."""

    object: Incoming
    data_format: str
    inspection: Inspection | None
    """None for formats that nothing is known about."""


class Receiving:
    """Looks at what an item brings along. Thread-safe; reads only."""

    def __init__(self, reader: Reader, fetcher: Fetcher) -> None:
        self._reader = reader
        self._fetcher = fetcher

    def data(
        self,
        dataset_id: DatasetId,
        uri: str,
        data_format: str | None,
        problems: list[str],
        *,
        standing: str | None = None,
    ) -> IncomingData | None:
        """The data file, or None with what is wrong with it in ``problems``.

        Args:
            standing: location of the data that it is to replace.

        Raises:
            StorageError: it cannot be reached for now.
        """
        try:
            found = infer_format(file_name(uri) or uri, data_format)
            check_file_name(f"{dataset_id}{found.extension}")
            with self._opened(uri) as (path, stat):
                inspection, wrong = _inspected(path, found, uri)
                problems.extend(wrong)
                object_ = self._incoming(uri, path, stat, found.extension, standing)
        except InvalidInput as error:
            problems.append(f"data: {error}")
            return None
        return IncomingData(object_, found.name, inspection)

    def file(self, uri: str, *, standing: str | None = None) -> Incoming:
        """A supplementary file.

        Raises:
            InvalidInput: it cannot be read.
            StorageError: it cannot be reached for now.
        """
        if self._is_held(uri):
            return self._held(self._stat(uri), standing)
        with self._fetcher.opened(uri) as path:
            return self._incoming(uri, path, None, "", standing)

    def _incoming(
        self, uri: str, path: Path, stat: ObjectStat | None, extension: str, standing: str | None
    ) -> Incoming:
        if stat is not None:
            return self._held(stat, standing)
        size, digest = path.stat().st_size, sha256_of(path)
        source = ObjectSource(
            uri=uri,
            extension=extension,
            size=size,
            sha256=digest,
            etag=upload_etag(path, size),
        )
        same = standing is not None and self._is_same(path, size, digest, standing)
        return Incoming(source, None, same)

    def _held(self, stat: ObjectStat, standing: str | None) -> Incoming:
        """An object of the atlas is referred to, not uploaded again."""
        same = standing is not None and self._are_same(stat, standing)
        return Incoming(None, stat.location, same)

    def _is_held(self, uri: str) -> bool:
        return uri.startswith(SCHEME) and self._reader.holds(uri)

    def _stat(self, uri: str) -> ObjectStat:
        try:
            return self._reader.stat(uri)
        except (ObjectMissing, StorageDenied) as error:
            raise InvalidInput(f"{uri} is no object of this atlas: {error}") from error

    @contextmanager
    def _opened(self, uri: str) -> Iterator[tuple[Path, ObjectStat | None]]:
        """A local file with the content, and the object where it is one of the atlas."""
        if not self._is_held(uri):
            with self._fetcher.opened(uri) as path:
                yield path, None
            return
        stat = self._stat(uri)
        with _scratch(file_name(uri)) as path:
            self._reader.download(stat.location, path)
            yield path, stat

    def _is_same(self, path: Path, size: int, digest: str, standing: str) -> bool:
        """Whether a local file is what stands there: by size, then tag, then content."""
        stat = self._standing(standing)
        if stat is None or stat.size != size:
            return False
        if content_matches(path, size, stat.etag):
            return True
        # The tag of an encrypted or copied object does not tell.
        return self._digest_of(standing) == digest

    def _are_same(self, stat: ObjectStat, standing: str) -> bool:
        there = self._standing(standing)
        if there is None or there.size != stat.size:
            return False
        if there.location == stat.location or there.etag == stat.etag:
            return True
        return self._digest_of(standing) == self._digest_of(stat.location)

    def _standing(self, location: str) -> ObjectStat | None:
        try:
            return self._reader.stat(location)
        except ObjectMissing:
            return None

    def _digest_of(self, location: str) -> str:
        with _scratch("object") as path:
            self._reader.download(location, path)
            return sha256_of(path)


def _inspected(path: Path, found: FileFormat, uri: str) -> tuple[Inspection | None, list[str]]:
    """What is in a file, and what is wrong with it. Temporary names do not appear in messages."""
    try:
        if found.name.removesuffix(GZIPPED) in INSPECTABLE:
            inspection = inspect(path, found.name, row_ids=False)
            return inspection, [_named(one, path, uri) for one in inspection.problems]
        return None, _disagreement(path, found.name, uri)
    except InvalidInput as error:
        return None, [_named(str(error), path, uri)]


def _named(problem: str, path: Path, uri: str) -> str:
    return f"data: {problem.replace(str(path), uri)}"


def _disagreement(path: Path, name: str, uri: str) -> list[str]:
    """Of a format that cannot be inspected: what its first bytes say against it."""
    content = content_of(path)
    if content.kind is Kind.EMPTY:
        return [f"data: {uri}: expected {name}, found an empty file"]
    inside = _INSIDE.get(name.removesuffix(GZIPPED), Kind.OTHER)
    if content.kind is not inside or content.gzipped != name.endswith(GZIPPED):
        # Some formats are gzip inside by themselves.
        if content.kind is inside and content.gzipped and name in {"bam", "rds", "rdata", "fcs"}:
            return []
        return [f"data: {uri}: expected {name}, found {content}; say what it is in data_format"]
    return []


def sample_problems(
    metadata: JsonObject, data: IncomingData, field: str, uri: str
) -> Iterator[str]:
    """Where the metadata lists samples and the file's ids are samples: how they disagree.

    Samples are the columns of GCT files and the observations of h5ad files. An h5ad file none of
    whose observations is a listed sample, and that has another number of them, has cells for
    observations: nothing is compared. The order does not matter.
    """
    listed = get_field(metadata, field.split(".")) if field else ABSENT
    if data.inspection is None or not isinstance(listed, list):
        return
    if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in listed):
        yield f"metadata field {field}: expected a list of sample ids, found {shown(listed)}"
        return
    wanted = [str(one) for one in listed]
    is_h5ad = data.inspection.format.startswith("h5ad")
    found = data.inspection.rows.ids if is_h5ad else data.inspection.columns.ids
    missing, extra = set(wanted) - set(found), set(found) - set(wanted)
    if is_h5ad and len(missing) == len(set(wanted)) and len(wanted) != len(found):
        return
    if len(set(wanted)) != len(wanted):
        yield f"metadata field {field}: a sample is listed twice"
    if missing or extra:
        axis = "observations" if is_h5ad else "columns"
        yield (
            f"metadata field {field} and the {axis} of {uri} disagree: "
            f"{_several(wanted, missing)} only in the metadata, "
            f"{_several(found, extra)} only in the file"
        )


def _several(order: Sequence[str], some: set[str]) -> str:
    shown_ids = [one for one in order if one in some][:_SHOWN]
    more = f" and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
    return (", ".join(shown_ids) or "none") + more


@contextmanager
def _scratch(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="polly-bulk-") as folder:
        yield Path(folder, name or "object")
