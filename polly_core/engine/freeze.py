"""Freezes a selection: which items a run is about, in which shards, is decided once."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from polly_core.catalog.ports import Reader
from polly_core.engine.gather import gather
from polly_core.engine.pool import Kind, Pool
from polly_core.engine.stop import StopSignal
from polly_core.errors import InvalidInput, NotFound, RunMismatch
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import NewShard, RunRow, ShardNo
from polly_core.models.catalog import DatasetId, DatasetRecord
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import RETRIED, Item
from polly_core.models.selection import Selection
from polly_core.planning.manifest import read_ids, read_manifest
from polly_core.planning.selection import Where

# A page read again costs one call and gives all its datasets; alone, each costs a call.
WORTHWHILE_ITEMS_PER_PAGE = 4
LOOKUP = 500
# Pages of a listing come one after the other; the largest that services give make it short.
PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """A dataset that belongs to the selection, and the listing page it was seen on."""

    dataset_id: DatasetId
    row: JsonObject | None = None
    listed: bool = False
    page: str | None = None


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
    stop: StopSignal = field(default_factory=StopSignal)

    def freeze(self) -> None:
        """Write the items and shards to the ledger and seal them.

        A selection that was interrupted before is started anew; one that is stopped stays open.

        Raises:
            InvalidInput: an unreadable or contradictory manifest, duplicate or unknown ids.
        """
        run_id = self.run.run_id
        self.ledger.discard_selection(run_id)
        for shard in self._shards(self._found()):
            self.ledger.add_shard(run_id, shard)
        if not self.stop.is_set():
            self.ledger.seal(run_id)

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
                    Item(seq=seq, dataset_id=one.dataset_id, row=one.row) for seq, one in group
                ),
            )

    def _found(self) -> Iterator[Found]:
        selection = self.run.spec.selection
        named = self._named(selection)
        if named is None:
            return self._listed()
        return named if self.where is None else self._narrowed(named, self.where)

    def _named(self, selection: Selection) -> Iterator[Found] | None:
        if selection.ids is not None:
            return _distinct(selection.ids)
        if selection.ids_uri is not None:
            return _distinct(read_ids(self._file(selection.ids_uri)))
        if selection.manifest_uri is not None:
            rows = read_manifest(self._file(selection.manifest_uri))
            return (Found(DatasetId(row.dataset_id), row.row) for row in rows)
        if selection.study is not None:
            return (Found(dataset_id) for dataset_id in self.reader.study(selection.study))
        if selection.failures_of is not None:
            return self._failures(selection)
        return None

    def _file(self, name: str) -> Path:
        if self.selection_file is None:
            raise InvalidInput(f"{name} was not fetched; give the selection again")
        return self.selection_file

    def _failures(self, selection: Selection) -> Iterator[Found]:
        assert selection.failures_of is not None
        earlier = self.ledger.run(selection.failures_of)
        if earlier.spec.catalog != self.run.spec.catalog:
            raise RunMismatch(
                f"run {earlier.run_id} was on {earlier.spec.catalog}, this one is on "
                f"{self.run.spec.catalog}; its failures cannot be retried here"
            )
        for row in self.ledger.items(earlier.run_id, states=RETRIED):
            yield Found(row.dataset_id, row.row)

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
