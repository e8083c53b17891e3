"""The metadata of a selection as a sheet: to be read, edited, and given back as a manifest."""

import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeVar

from pydantic import Field

from polly_core.catalog.ports import Reader
from polly_core.engine.gather import gather
from polly_core.engine.limiter import Limiter
from polly_core.engine.opening import Connector, over_http
from polly_core.engine.pool import Gate, Kind, Pool
from polly_core.engine.request import Surroundings
from polly_core.engine.sheetfile import format_of, whole_file, write_sheet
from polly_core.errors import InvalidInput, NotFound, RunMismatch
from polly_core.ledger.ledger import Ledger, open_ledger
from polly_core.models.catalog import AtlasId, DatasetId, DatasetRecord, RunId
from polly_core.models.fieldpath import FieldPath, format_field, parse_field
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.run import RETRIED
from polly_core.models.selection import Selection
from polly_core.planning.cells import Column, Meaning
from polly_core.planning.editing import BASE_COLUMN
from polly_core.planning.manifest import ID_COLUMN, read_ids, read_manifest
from polly_core.planning.selection import Where
from polly_core.planning.sheet import Layout, SheetColumn
from polly_core.planning.values import ABSENT, get_field, inner_keys, put_field
from polly_core.planning.wording import MOST_NAMES, counted, listed, meant
from polly_core.transport.retry import Retrier
from polly_core.transport.sources import fetch_source

PAGE_SIZE = 1000
CHUNK = 200
FIXED = (ID_COLUMN, BASE_COLUMN, "data_type")

T = TypeVar("T")
OnProgress = Callable[[int], None]


class ExportRequest(Model):
    """What is exported, and where to."""

    atlas_id: AtlasId
    selection: Selection = Selection()
    path: Path
    fields: tuple[str, ...] = ()
    """Only these metadata fields and what is below them; all when empty."""
    spreadsheet: bool = False
    """CSV and TSV as spreadsheets like them: with a byte order mark, and CRLF."""
    concurrency: int = Field(default=64, ge=1, le=1024)


def export_sheet(
    request: ExportRequest,
    surroundings: Surroundings,
    *,
    connector: Connector = over_http,
    on_progress: OnProgress = lambda _: None,
) -> int:
    """Write the sheet; how many datasets are in it. The file appears whole or not at all.

    Each row carries the version it was read at, and each metadata column its type, so that the
    sheet, edited, is a manifest of the edited cells alone.

    Raises:
        InvalidInput: the selection, a field or the file's name cannot be used, or none of the
            datasets has a field that is named.
        CatalogError: the service cannot be reached, or refuses.
        CannotProceed: the file cannot be written.
    """
    kind = format_of(request.path)
    fields = _fields(request.fields)
    with ExitStack() as stack:
        where = surroundings.connection(request.atlas_id, pool_size=request.concurrency)
        connected = connector(where, Retrier())
        stack.callback(connected.close)
        pool = Pool(Limiter(request.concurrency), Gate())
        stack.callback(pool.close)
        spool = stack.enter_context(tempfile.TemporaryFile("w+", encoding="ascii"))
        found = _Datasets(request.selection, connected.reader, pool, surroundings)
        layout = _spooled(found.read(), fields, spool, on_progress)
        stream = stack.enter_context(whole_file(request.path))
        columns = [*(SheetColumn(Column(name)) for name in FIXED), *layout.columns()]
        rows = _rows(spool, layout)
        return write_sheet(rows, columns, kind, stream, spreadsheet=request.spreadsheet)


def _fields(names: Sequence[str]) -> tuple[FieldPath, ...]:
    try:
        found = tuple(parse_field(name) for name in names)
    except ValueError as error:
        raise InvalidInput(f"--field: {error}") from None
    for path in found:
        if path.attribute is not None:
            raise InvalidInput(f"--field: expected a metadata field, found {path.text}")
    return found


def _only(metadata: JsonObject, fields: tuple[FieldPath, ...]) -> JsonObject:
    if not fields:
        return metadata
    kept: JsonObject = {}
    for path in fields:
        value = get_field(metadata, path.keys)
        if value is not ABSENT:
            kept = put_field(kept, path.keys, value)
    return kept


def _spooled(
    found: Iterable[tuple[DatasetRecord, JsonObject]],
    fields: tuple[FieldPath, ...],
    spool: IO[str],
    on_progress: OnProgress,
) -> Layout:
    """Keep the datasets on disk while it is learned which columns they need."""
    layout, sought = Layout(), _Sought(list(fields))
    number = 0
    for number, (record, metadata) in enumerate(found, 1):
        sought.see(metadata)
        kept = _only(metadata, fields)
        try:
            layout.see_metadata(kept)
        except InvalidInput as error:
            raise InvalidInput(f"dataset {record.dataset_id}: {error}") from None
        fixed = [record.dataset_id, record.version_id, record.data_type]
        spool.write(json.dumps([fixed, kept]) + "\n")
        on_progress(number)
    sought.require_found(number)
    return layout


@dataclass(slots=True)
class _Sought:
    """Fields that were named and that no dataset has had so far."""

    missing: list[FieldPath]
    names: set[tuple[str, ...]] = field(default_factory=set)
    """What there is instead, while something is missing."""

    def see(self, metadata: JsonObject) -> None:
        """Look for them in a dataset."""
        if not self.missing:
            return
        self.missing = [one for one in self.missing if get_field(metadata, one.keys) is ABSENT]
        if self.missing and len(self.names) < MOST_NAMES:
            self.names.update(inner_keys(metadata))

    def require_found(self, datasets: int) -> None:
        """Where there are no datasets nothing is missed.

        Raises:
            InvalidInput: none of the datasets has one of them.
        """
        if not self.missing or not datasets:
            return
        names = set(map(format_field, self.names))
        told = ", ".join(meant(one.text, names) for one in self.missing)
        raise InvalidInput(
            f"--field {told}: found in none of {counted(datasets, 'selected dataset')}, which have "
            f"{listed(names) or 'no metadata'}; correct the name or leave it away; "
            "no file was written"
        )


def _rows(spool: IO[str], layout: Layout) -> Iterator[dict[str, Meaning]]:
    spool.seek(0)
    for line in spool:
        fixed, metadata = json.loads(line)
        yield {**dict(zip(FIXED, fixed, strict=True)), **layout.cells(metadata)}


@dataclass(frozen=True, slots=True)
class _Datasets:
    """The datasets of a selection, in its order, each with the metadata of its version."""

    selection: Selection
    reader: Reader
    pool: Pool
    surroundings: Surroundings

    def read(self) -> Iterator[tuple[DatasetRecord, JsonObject]]:
        where = None if self.selection.where is None else Where(self.selection.where)
        for chunk in _chunks(self._records()):
            wanted = chunk
            if where is not None and not where.needs_metadata:
                wanted = [record for record in chunk if where.matches(record)]
            metadata = gather(self.pool, Kind.READ, self.reader.metadata, wanted)
            for record, found in zip(wanted, metadata, strict=True):
                if where is None or not where.needs_metadata or where.matches(record, found):
                    yield record, found

    def _records(self) -> Iterator[DatasetRecord]:
        ids = self._ids()
        if ids is None:
            yield from self.reader.datasets(page_size=PAGE_SIZE)
            return
        for chunk in _chunks(ids):
            yield from gather(self.pool, Kind.CALL, self._dataset, chunk)

    def _dataset(self, dataset_id: DatasetId) -> DatasetRecord:
        try:
            return self.reader.dataset(dataset_id)
        except NotFound as error:
            raise InvalidInput(
                f"dataset {dataset_id} of the selection: {error}; remove it from the selection"
            ) from error

    def _ids(self) -> Iterator[DatasetId] | None:
        chosen = self.selection
        if chosen.ids is not None:
            return map(DatasetId, dict.fromkeys(chosen.ids))
        if chosen.ids_uri is not None:
            return read_ids(self._file(chosen.ids_uri))
        if chosen.manifest_uri is not None:
            return (row.dataset_id for row in read_manifest(self._file(chosen.manifest_uri)))
        if chosen.study is not None:
            return iter(self.reader.study(chosen.study))
        if chosen.failures_of is not None:
            return self._failures(chosen.failures_of)
        if chosen.written_by is not None:
            raise InvalidInput(
                "what a run wrote cannot be exported; give its report with --manifest"
            )
        return None

    def _file(self, uri: str) -> Path:
        return fetch_source(uri, self.surroundings.home / "sources")[0]

    def _failures(self, run_id: RunId) -> Iterator[DatasetId]:
        with open_ledger(self.surroundings.ledger_url) as ledger:
            yield from self._failed(ledger, run_id)

    def _failed(self, ledger: Ledger, run_id: RunId) -> Iterator[DatasetId]:
        run = ledger.find_run(run_id)
        if run.spec.catalog != self.reader.catalog:
            raise RunMismatch(
                f"run {run.run_id} was on {run.spec.catalog}, this is {self.reader.catalog}"
            )
        # A dataset may have several items, one for each file.
        rows = ledger.items(run.run_id, states=RETRIED, plans=False)
        yield from dict.fromkeys(row.dataset_id for row in rows)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while chunk := list(itertools.islice(remaining, CHUNK)):
        yield chunk
