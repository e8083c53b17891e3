"""Bytes that an item brings along, as a local file."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polly_core.errors import InvalidInput
from polly_core.models.run import ObjectSource
from polly_core.transport.foreign import ForeignFiles, file_name, local_path


class Fetcher:
    """Makes local files of what manifests name. Thread-safe; one for each operation."""

    def __init__(self) -> None:
        self._foreign = ForeignFiles()

    @contextmanager
    def opened(self, uri: str) -> Iterator[Path]:
        """A local file with the content; what had to be fetched is removed afterwards.

        Raises:
            InvalidInput: it cannot be read.
            StorageUnavailable: it cannot be reached for now.
        """
        local = local_path(uri)
        if local is not None:
            _require_file(local)
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="polly-bulk-") as folder:
            # Its name tells the format.
            path = Path(folder, file_name(uri) or "file")
            self._foreign.fetch(uri, path)
            yield path

    @contextmanager
    def planned(self, source: ObjectSource) -> Iterator[Path]:
        """The same, exactly as it was when it was planned.

        Raises:
            InvalidInput: it cannot be read, is not the file that was planned, or was changed
                meanwhile.
        """
        with self.opened(source.uri) as path:
            before = _stamp(path)
            self._require_planned(source, path)
            yield path
            if _stamp(path) != before:
                raise InvalidInput(
                    f"{source.uri} was changed while it was uploaded; nothing refers to what "
                    "was uploaded. Plan again"
                )

    def _require_planned(self, source: ObjectSource, path: Path) -> None:
        if source.sha256 is None:
            return
        size, digest = path.stat().st_size, ""
        if source.size in {None, size}:
            digest = sha256_of(path)
            if digest == source.sha256:
                return
        found = f"found {digest[:12]}…" if digest else f"found {size} bytes"
        raise InvalidInput(
            f"{source.uri} is not the file that was planned: expected SHA-256 "
            f"{source.sha256[:12]}… ({source.size} bytes), {found}; put it back, or plan again"
        )


def sha256_of(path: Path) -> str:
    """The digest of a file's content, in hex.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error


def _require_file(path: Path) -> None:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "nothing"
        raise InvalidInput(f"expected a file at {path}, found {kind}; check the path")
    if not os.access(path, os.R_OK):
        raise InvalidInput(f"{path} may not be read; check its permissions")


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
