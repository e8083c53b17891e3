"""What is to be done so that a dataset becomes like another one: version, study, files."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from polly_core.models.catalog import AtlasId, DatasetId, VersionId
from polly_core.models.jsonvalue import digest
from polly_core.models.run import (
    FileState,
    FileTarget,
    ObjectSource,
    Planned,
    SourceVersion,
    StudyTarget,
    Wanted,
)
from polly_core.operations.keeping import Kept, keep
from polly_core.operations.sides import Side
from polly_core.planning.diff import diff
from polly_core.transport.s3uri import parse_s3_uri


class ObjectsMissing(Exception):
    """Objects of the source are not in the store; ``reasons`` name them."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(slots=True)
class Copying:
    """One dataset that is to become like another.

    Used once, by one thread. Objects are shared within an atlas and copied server-side into
    another; what is there already with the same content stays.
    """

    source: Side
    target: Side | None
    """None where nothing is live there."""
    from_atlas: AtlasId
    across: bool
    """Into another atlas."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Objects of the destination by the object of the source that they were copied from."""
    removable: Collection[str] = ()
    """Files of the destination that are removed, those of the source's names excepted."""
    missing: list[str] = field(default_factory=list)
    """Objects of the source that are gone."""

    def planned(
        self, dataset_id: DatasetId, ended: VersionId | None, *, save_bytes: bool
    ) -> Planned | None:
        """What is to be done; None where nothing is.

        Args:
            ended: where nothing is live at the destination, the newest version of earlier lives.
            save_bytes: files that are lost are downloaded first.

        Raises:
            ObjectsMissing: something of the source is not in the store.
        """
        source, target = self.source, self.target
        patch = diff(target.metadata if target else {}, source.metadata)
        data, location = self._data()
        replaced = target is not None and location != target.record.data_location
        attach = tuple(self._attached(replaced=replaced))
        detach = tuple(self._detached(replaced=replaced))
        wanted = Wanted(
            metadata_digest=digest(source.metadata),
            data_type=source.record.data_type,
            data_format=source.record.data_format,
            data_location=location,
        )
        if self.missing:
            raise ObjectsMissing(tuple(self.missing))
        makes = target is None or bool(patch) or _differs(target, wanted)
        study = self._study()
        if not makes and study is None and not attach and not detach:
            return None
        attached = {file.file_name for file in attach}
        kept = self._kept({*attached, *detach}, replaced=replaced, save_bytes=save_bytes)
        return Planned(
            seen=target.record if target else None,
            creates=None if target else dataset_id,
            ended=ended,
            patch=patch,
            wanted=wanted if makes else None,
            data=data,
            study=study,
            attach=attach,
            detach=detach,
            files_before=kept.before,
            saves=kept.saves,
            not_recoverable=kept.not_recoverable,
            source=self._source_version(attached),
        )

    def _data(self) -> tuple[ObjectSource | None, str | None]:
        """The data to be copied, or where it is already."""
        location = self.source.record.data_location
        if not self.across:
            return None, location
        there = self.target.record.data_location if self.target else None
        if there is not None and self._same(location, there):
            return None, there
        return self._object(location, "its data", extension_of(location)), None

    def _object(self, location: str, what: str, extension: str = "") -> ObjectSource:
        stat = self.source.stat(location)
        if stat is None:
            self.missing.append(
                f"{what} is not in the store of atlas {self.from_atlas}: expected {location}"
            )
        return ObjectSource(
            uri=stat.location if stat else location,
            atlas_id=self.from_atlas,
            extension=extension,
            size=stat.size if stat else None,
        )

    def _same(self, here: str, there: str) -> bool:
        """Whether two objects have the same content, as far as can be told without reading it."""
        if here == there or self.known.get(here) == there:
            return True
        if not self.across or self.target is None:
            return False
        ours, theirs = self.source.stat(here), self.target.stat(there)
        if ours is None or theirs is None:
            return False
        return bool(ours.etag) and (ours.size, ours.etag) == (theirs.size, theirs.etag)

    def _study(self) -> StudyTarget | None:
        wanted = self.source.record.study_id
        current = self.target.record.study_id if self.target else None
        return None if wanted == current else StudyTarget(study_id=wanted)

    def _attached(self, *, replaced: bool) -> Iterator[FileTarget]:
        """Files that have to be attached, or attached again."""
        there = self.target.files if self.target else {}
        for name, file in self.source.files.items():
            have = there.get(name)
            same = have is not None and self._same(file.file_location, have.file_location)
            if have is not None and same and _alike(file, have) and not (have.linked and replaced):
                continue
            yield self._file(file, have.file_location if have and same else None)

    def _detached(self, *, replaced: bool) -> Iterator[str]:
        """Files that have to be removed; what is linked to data that is replaced goes by itself."""
        for name, file in (self.target.attached if self.target else {}).items():
            goes = replaced and file.derived_from is not None
            if name in self.removable and name not in self.source.files and not goes:
                yield name

    def _file(self, file: FileState, present: str | None) -> FileTarget:
        location = present if self.across else file.file_location
        origin = None
        if location is None:
            origin = self._object(file.file_location, f"its file {file.file_name!r}")
        return FileTarget(
            file_name=file.file_name,
            file_format=file.file_format,
            file_location=location,
            tag=file.tag,
            linked=file.linked,
            source=origin,
        )

    def _kept(self, named: set[str], *, replaced: bool, save_bytes: bool) -> Kept:
        """Files of the destination that are replaced or removed, or go with their data."""
        if self.target is None:
            return Kept()
        lost = [
            file
            for name, file in self.target.attached.items()
            if name in named or (file.derived_from is not None and replaced)
        ]
        return keep(self.target.reader, lost, save_bytes=save_bytes)

    def _source_version(self, attached: set[str]) -> SourceVersion:
        there = self.target.files if self.target else {}
        files = self.source.files
        return SourceVersion(
            atlas_id=self.from_atlas,
            dataset_id=self.source.record.dataset_id,
            version_id=self.source.record.version_id,
            data_location=self.source.record.data_location,
            files=tuple(files.values()),
            kept=tuple(there[name] for name in files if name not in attached),
        )


def _alike(file: FileState, have: FileState) -> bool:
    ours, theirs = (file.file_format, file.tag), (have.file_format, have.tag)
    return ours == theirs and file.linked == have.linked


def _differs(target: Side, wanted: Wanted) -> bool:
    record = target.record
    return (record.data_type, record.data_format, record.data_location) != (
        wanted.data_type,
        wanted.data_format,
        wanted.data_location,
    )


def extension_of(location: str) -> str:
    """What the object's name ends with, from its first dot: ids hold none."""
    stem, dot, rest = parse_s3_uri(location).name.partition(".")
    return f".{rest}" if stem and dot else ""
