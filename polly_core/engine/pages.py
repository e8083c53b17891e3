"""Listing pages read again, shared by the shards whose items stand on them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from polly_core.catalog.ports import Reader
from polly_core.models.catalog import DatasetId, DatasetRecord

# A page of a thousand serves several shards, which come within seconds of each other. What moves
# in between is found where every move is found: at the write, or in the history after it.
FRESH_SECONDS = 5.0
KEPT = 3

Records = Mapping[DatasetId, DatasetRecord]


class Pages:
    """Reads each page at most once in ``FRESH_SECONDS``. Thread-safe; holds few pages."""

    def __init__(
        self, reader: Reader, *, size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._size = size
        self._clock = clock
        # Held while reading, so that two shards that start together read their page once.
        self._lock = threading.Lock()
        self._pages: OrderedDict[str | None, tuple[float, Records]] = OrderedDict()

    def records(self, link: str | None) -> Records:
        """The datasets on a page. Raises what reading it raises."""
        with self._lock:
            found = self._pages.get(link)
            if found is not None and self._clock() - found[0] < FRESH_SECONDS:
                return found[1]
            asked = self._clock()
            page = self._reader.page(link, size=self._size)
            records = {record.dataset_id: record for record in page.records}
            self._pages[link] = (asked, records)
            self._pages.move_to_end(link)
            while len(self._pages) > KEPT:
                self._pages.popitem(last=False)
            return records
