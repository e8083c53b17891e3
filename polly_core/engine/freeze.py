"""Freezes a selection: which items a run is about, in which shards, is decided once."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from polly_core.catalog.ports import Reader
from polly_core.engine.builders.base import Enrich, Found
from polly_core.engine.gather import gather
from polly_core.engine.pool import Kind, Pool
from polly_core.engine.stop import StopSignal
from polly_core.errors import InvalidInput, NotFound, RunMismatch
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import NewShard, RunRow, ShardNo
from polly_core.models.catalog import DatasetId, DatasetRecord, RunId
from polly_core.models.run import RETRIED, Item, RunState, StopReason
from polly_core.models.selection import Selection, SelectionKind
from polly_core.planning.manifest import BY_DATASET, BY_FILE, read_ids, read_manifest
from polly_core.planning.selection import Where

# A page read again costs one call and gives all its datasets; alone, each costs a call.
WORTHWHILE_ITEMS_PER_PAGE = 4
LOOKUP = 500
# Pages of a listing come one after the other; the largest that services give make it short.
PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Freezer:
    """Everything needed to find the items of one run."""

    reader: Reader
    pool: Pool
    ledger: Ledger
    run: RunRow
    selection_file: Path | None = None
    """The ids file or manifest, already fetched and pinned."""
    where: Where | None = None
    enrich: Enrich | None = None
    by_file: bool = False
    """Items are rows of a manifest: a dataset may have several."""
    batches: tuple[Callable[[Found], bool], ...] = ()
    """Which of the items that are named come first, second, and so on."""
    stop: StopSignal = field(default_factory=StopSignal)

    def freeze(self) -> None:
        """Write the items and shards to the ledger and seal them.

        A selection that was interrupted before is started anew; one that is stopped stays open.
        Of one that is refused nothing stays but why, as the reason that the run has stopped.

        Raises:
            InvalidInput: an unreadable or contradictory manifest, duplicate or unknown ids, or the
                service does not know what is selected.
        """
        try:
            self._freeze()
        except InvalidInput as error:
            self._record(error)
            raise
        except NotFound as error:
            refused = InvalidInput(f"what is selected is not there: {error}")
            self._record(refused)
            raise refused from error

    def _record(self, error: Exception) -> None:
        self.ledger.discard_selection(self.run.run_id)
        self.ledger.set_state(
            self.run.run_id,
            RunState.STOPPED,
            stop=StopReason.REFUSED,
            message=f"{error}. Nothing was selected or written; put it right and start a new run",
        )

    def _freeze(self) -> None:
        run_id = self.run.run_id
        self.ledger.discard_selection(run_id)
        for shard in self._shards(self._enriched(self._found())):
            self.ledger.add_shard(run_id, shard)
        if not self.stop.is_set():
            self.ledger.seal(run_id)

    def _enriched(self, found: Iterator[Found]) -> Iterator[Found]:
        if self.enrich is None:
            yield from found
            return
        while chunk := list(itertools.islice(found, LOOKUP)):
            yield from self.enrich(chunk)
        yield from self.enrich(())

    def _shards(self, found: Iterable[Found]) -> Iterator[NewShard]:
        numbered = enumerate(found)
        size = self.run.options.shard_size
        for number in itertools.count():
            group = list(itertools.islice(numbered, size))
            if not group:
                return
            pages = dict.fromkeys(one.page for _, one in group if one.listed)
            worthwhile = len(pages) * WORTHWHILE_ITEMS_PER_PAGE <= len(group)
            yield NewShard(
                shard=ShardNo(number),
                pages=tuple(pages) if worthwhile else (),
                items=tuple(
                    Item(seq=seq, dataset_id=one.dataset_id, file_name=one.file_name, row=one.row)
                    for seq, one in group
                ),
            )

    def _found(self) -> Iterator[Found]:
        named = self._in_batches(self.run.spec.selection)
        if named is None:
            return self._listed()
        return named if self.where is None else self._narrowed(named, self.where)

    def _in_batches(self, selection: Selection) -> Iterator[Found] | None:
        """What is named, one batch after the other. Read once for each: it may be millions."""
        named = self._named(selection)
        if named is None or not self.batches:
            return named
        return (one for batch in self.batches for one in self._named(selection) or () if batch(one))

    def _named(self, selection: Selection) -> Iterator[Found] | None:
        match selection.kind:
            case SelectionKind.IDS:
                given = selection.ids
                return _distinct(given or read_ids(self._file(selection.ids_uri)))
            case SelectionKind.MANIFEST:
                return self._rows(self._file(selection.manifest_uri))
            case SelectionKind.STUDY if selection.study:
                return map(Found, self.reader.study(selection.study))
            case SelectionKind.WRITTEN if selection.written_by:
                return self._written(selection.written_by)
            case SelectionKind.FAILURES if selection.failures_of:
                return self._failures(selection.failures_of)
            case _:
                return None

    def _rows(self, path: Path) -> Iterator[Found]:
        for row in read_manifest(path, key=BY_FILE if self.by_file else BY_DATASET):
            yield Found(row.dataset_id, row.row, file_name=row.file_name, line=row.line)

    def _file(self, name: str | None) -> Path:
        if self.selection_file is None:
            raise InvalidInput(f"{name} was not fetched; give the selection again")
        return self.selection_file

    def _written(self, run_id: RunId) -> Iterator[Found]:
        """What a run wrote, wholly or in part."""
        self._same_catalog(self.ledger.run(run_id), "undone or rolled back")
        seen: set[tuple[DatasetId, str]] = set()
        for row in self.ledger.items(run_id):
            one = row.dataset_id, row.file_name if self.by_file else ""
            if row.wrote and one not in seen:
                seen.add(one)
                yield Found(row.dataset_id, file_name=one[1])

    def _same_catalog(self, earlier: RunRow, what: str) -> None:
        if earlier.spec.catalog != self.run.spec.catalog:
            raise RunMismatch(
                f"run {earlier.run_id} was on {earlier.spec.catalog}, this one is on "
                f"{self.run.spec.catalog}; its items cannot be {what} here"
            )

    def _failures(self, run_id: RunId) -> Iterator[Found]:
        earlier = self.ledger.run(run_id)
        self._same_catalog(earlier, "retried")
        for row in self.ledger.items(earlier.run_id, states=RETRIED, plans=False):
            yield Found(row.dataset_id, row.row, file_name=row.file_name)

    def _listed(self) -> Iterator[Found]:
        link: str | None = None
        while not self.stop.is_set():
            page = self.reader.page(link, size=PAGE_SIZE)
            for record in self._matching(page.records):
                yield Found(record.dataset_id, listed=True, page=link)
            if page.next_link is None:
                return
            link = page.next_link

    def _matching(self, records: tuple[DatasetRecord, ...]) -> Iterable[DatasetRecord]:
        where = self.where
        if where is None:
            return records
        if not where.needs_metadata:
            return [record for record in records if where.matches(record, None)]
        read = gather(self.pool, Kind.READ, self.reader.metadata, records)
        pairs = zip(records, read, strict=True)
        return [record for record, metadata in pairs if where.matches(record, metadata)]

    def _narrowed(self, named: Iterator[Found], where: Where) -> Iterator[Found]:
        def keep(one: Found) -> bool:
            try:
                record = self.reader.dataset(one.dataset_id)
            except NotFound as error:
                raise InvalidInput(
                    f"dataset {one.dataset_id} of the selection: {error}; remove it, or leave "
                    "--where away to have it reported as invalid"
                ) from error
            metadata = self.reader.metadata(record) if where.needs_metadata else None
            return where.matches(record, metadata)

        while (chunk := list(itertools.islice(named, LOOKUP))) and not self.stop.is_set():
            kept = gather(self.pool, Kind.CALL, keep, chunk)
            yield from (one for one, is_kept in zip(chunk, kept, strict=True) if is_kept)


def _distinct(ids: Iterable[str]) -> Iterator[Found]:
    seen: set[str] = set()
    for dataset_id in ids:
        if dataset_id in seen:
            raise InvalidInput(f"dataset {dataset_id} is named twice in the selection; remove one")
        seen.add(dataset_id)
        yield Found(DatasetId(dataset_id))
