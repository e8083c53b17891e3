"""Bytes that an item brings along, as a local file."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polly_core.errors import InvalidInput
from polly_core.models.run import ObjectSource
from polly_core.transport.sources import fetch_source


@contextmanager
def local_file(source: ObjectSource) -> Iterator[Path]:
    """The source as a local file; what had to be fetched is removed afterwards.

    Raises:
        InvalidInput: it cannot be read, or is not the file that was planned.
    """
    with tempfile.TemporaryDirectory(prefix="polly-bulk-") as folder:
        path, digest = fetch_source(source.uri, Path(folder))
        if source.sha256 is not None and digest != source.sha256:
            raise InvalidInput(
                f"{source.uri} is not the file that was planned: expected SHA-256 "
                f"{source.sha256[:12]}…, found {digest[:12]}…; plan again"
            )
        yield path


def sha256_of(path: Path) -> str:
    """The digest of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
