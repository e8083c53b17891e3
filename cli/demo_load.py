"""Records become datasets: each data file is uploaded once, every record is one request."""

from collections.abc import Callable, Sequence
from pathlib import Path

from cli.demo_data import Record
from polly_core.data_management import Catalog
from polly_core.threading_utils import for_each_threaded

THREADS = 16

OnDone = Callable[[], None]


def load(catalog: Catalog, records: Sequence[Record], on_done: OnDone) -> None:
    """Create every record as a dataset, with its supplementary files.

    Raises:
        FailureLimitError: a dataset could not be created.
    """
    firsts = {record.data_file: record for record in reversed(records)}
    uploaded: dict[Path, tuple[str, str]] = {}

    def first(record: Record) -> None:
        made = catalog.create_dataset(
            record.dataset_id,
            record.data_type,
            str(record.data_file),
            record.metadata,
            study_id=record.study_id,
        )
        uploaded[record.data_file] = (made.data_location, made.data_format)
        _attach(catalog, record)
        on_done()

    def other(record: Record) -> None:
        location, data_format = uploaded[record.data_file]
        catalog.create_dataset(
            record.dataset_id,
            record.data_type,
            location,
            record.metadata,
            data_format=data_format,
            study_id=record.study_id,
        )
        _attach(catalog, record)
        on_done()

    for_each_threaded(firsts.values(), first, max_workers=THREADS)
    others = (record for record in records if firsts[record.data_file] is not record)
    for_each_threaded(others, other, max_workers=THREADS)


def _attach(catalog: Catalog, record: Record) -> None:
    for path in record.attachments:
        catalog.attach_file(record.dataset_id, str(path), tag="sample table", file_name=path.name)
