"""Whether the content of an object is what was planned."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from polly_core.catalog.ports import Reader
from polly_core.errors import ObjectMissing
from polly_core.models.catalog import ObjectStat
from polly_core.models.run import ObjectSource
from polly_core.operations.fetching import sha256_of


def object_problems(
    reader: Reader, what: str, location: str, source: ObjectSource | None
) -> Iterator[str]:
    """What is wrong with an object: it is gone, or of another size or checksum than planned.

    It is downloaded only where the store's own checksum does not tell.

    Args:
        source: what it was made of; None leaves that unchecked.
    """
    try:
        stat = reader.stat(location)
    except ObjectMissing as error:
        yield f"{what} is not in the store: {error}"
        return
    if source is None:
        return
    if source.size is not None and stat.size != source.size:
        yield f"{what} has {stat.size} bytes, expected {source.size}"
    elif source.sha256 is not None and stat.etag != source.etag:
        found = _digest(reader, stat)
        if found != source.sha256:
            yield f"{what} has SHA-256 {found[:12]}…, expected {source.sha256[:12]}…"


def _digest(reader: Reader, stat: ObjectStat) -> str:
    with tempfile.TemporaryDirectory(prefix="polly-bulk-") as folder:
        path = Path(folder, "object")
        reader.download(stat.location, path)
        return sha256_of(path)
