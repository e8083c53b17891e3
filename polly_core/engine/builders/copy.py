"""Bulk copy and promotion."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from polly_core.catalog.ports import Ports, Reader
from polly_core.engine.builders.base import Built, Found, Workshop
from polly_core.errors import InvalidInput, NotFound
from polly_core.ledger.history import Copied
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ItemRow
from polly_core.models.catalog import AtlasId, CatalogRef, DatasetId
from polly_core.models.operations import CopyOnExisting, CopySpec
from polly_core.models.run import FileState, Planned
from polly_core.models.selection import SelectionKind
from polly_core.operations.base import live
from polly_core.operations.copy import FROM_COLUMN, CopyDatasets
from polly_core.operations.promotion import (
    BASE_KEY,
    UNDONE_KEY,
    LastCopy,
    UndoneCopy,
)
from polly_core.operations.stepping import DATA, file_location, location_of

LOOKUP = 500
_COMPARES = {CopyOnExisting.OVERWRITE, CopyOnExisting.NEWER, CopyOnExisting.PROMOTE}
_ROWS = {SelectionKind.MANIFEST, SelectionKind.FAILURES}


def build(workshop: Workshop) -> Built:
    """Raises ``InvalidInput`` where there is no such source, or it is the destination itself."""
    spec = workshop.description(CopySpec)
    target = workshop.ports.reader.catalog
    source, source_ref = _source(workshop.ports, spec.from_atlas)
    across = spec.from_atlas != target.atlas_id
    if not across and workshop.spec.selection.kind not in _ROWS:
        raise InvalidInput(
            f"source and destination are both atlas {spec.from_atlas}: every dataset would be "
            f"copied onto itself. Name another atlas, or give a manifest with columns dataset_id "
            f"(the copy) and {FROM_COLUMN} (what is copied)"
        )
    bases = _Bases(workshop.ledger, source_ref, target)
    whole = workshop.spec.selection.kind is SelectionKind.ALL
    reports_gone = whole and spec.existing is CopyOnExisting.PROMOTE

    def enriched(found: Sequence[Found]) -> Sequence[Found]:
        if found:
            return bases.added(found)
        return list(gone(bases, source, workshop.ports.reader)) if reports_gone else ()

    return Built(
        CopyDatasets(spec, source, across=across, saved_in=workshop.saved_in),
        source,
        enrich=enriched if spec.existing in _COMPARES else None,
    )


def _source(ports: Ports, atlas_id: AtlasId) -> tuple[Reader, CatalogRef]:
    try:
        source = ports.beside(atlas_id)
        return source, source.catalog
    except NotFound as error:
        raise InvalidInput(f"the source cannot be read: {error}; check --from") from error


@dataclass(frozen=True, slots=True)
class _Bases:
    """What the ledger knows of earlier copies from one atlas to another."""

    ledger: Ledger
    source: CatalogRef
    target: CatalogRef

    def added(self, found: Sequence[Found]) -> list[Found]:
        """The items, each with its last copy where one is recorded."""
        known = self.ledger.last_copies(self.source, self.target, [f.dataset_id for f in found])
        return [_with_base(one, known.get(one.dataset_id, Copied(None))) for one in found]


def _with_base(one: Found, copied: Copied) -> Found:
    cells = {n: cell for n, cell in (one.row or {}).items() if n not in {BASE_KEY, UNDONE_KEY}}
    last, undone = last_copy(copied.last), last_copy(copied.undone)
    if last is not None:
        cells[BASE_KEY] = last.model_dump(mode="json")
    if undone is not None and copied.undone_by is not None:
        told = UndoneCopy(made=undone, run_id=copied.undone_by)
        cells[UNDONE_KEY] = told.model_dump(mode="json")
    return replace(one, row=cells or None)


def last_copy(row: ItemRow | None) -> LastCopy | None:
    """How an applied copy left both sides."""
    planned = row.planned if row else None
    if row is None or planned is None or planned.source is None:
        return None
    seen = planned.seen
    version = row.version_after or (seen.version_id if seen else None)
    if version is None:
        return None
    study = planned.study.study_id if planned.study else (seen.study_id if seen else None)
    wanted = planned.wanted.data_location if planned.wanted else None
    location = wanted or location_of(row.done, DATA) or (seen.data_location if seen else None)
    return LastCopy(
        source=planned.source,
        version_id=version,
        data_location=location,
        study_id=study,
        files=(*planned.source.kept, *_attached(planned, row)),
    )


def _attached(planned: Planned, row: ItemRow) -> Iterator[FileState]:
    for file in planned.attach:
        location = file_location(file, row.done)
        if location is not None:
            yield FileState(
                file_name=file.file_name,
                file_format=file.file_format,
                file_location=location,
                tag=file.tag,
                linked=file.linked,
            )


def gone(bases: _Bases, source: Reader, target: Reader) -> Iterator[Found]:
    """Datasets of the destination that were copied before and are not in the source any more.

    Both listings are read side by side, so that neither is kept.
    """
    ids = _only_there(source, target)
    while chunk := list(itertools.islice(ids, LOOKUP)):
        for one in bases.added([Found(dataset_id) for dataset_id in chunk]):
            cell = (one.row or {}).get(BASE_KEY)
            if cell is None:
                continue
            name = LastCopy.model_validate(cell).source.dataset_id
            if name == one.dataset_id:
                yield one
            elif live(source, name) is None:
                yield replace(one, row={**(one.row or {}), FROM_COLUMN: name})


def _only_there(source: Reader, target: Reader) -> Iterator[DatasetId]:
    here = iter(source.datasets(page_size=1000))
    ours = next(here, None)
    for there in target.datasets(page_size=1000):
        while ours is not None and ours.dataset_id < there.dataset_id:
            ours = next(here, None)
        if ours is None or ours.dataset_id != there.dataset_id:
            yield there.dataset_id
