"""Files that are there wholly or not at all."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polly_core.errors import PayloadError


@contextmanager
def replaced_when_done(
    path: Path, *, token: Callable[[], str] = lambda: secrets.token_hex(6)
) -> Iterator[Path]:
    """A temporary name beside ``path``; it becomes ``path`` when the block ends without error.

    Until then an older file of that name stays as it is. After an error the temporary file is
    removed; after a kill it stays, its name starts with a dot and ends in ``.part``.

    Raises:
        PayloadError: the folder cannot be written, or the disk is full.
    """
    part = path.with_name(f".{path.name}.{token()}.part")
    try:
        yield part
        _flush_to_disk(part)
        part.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise PayloadError(f"{path}: cannot be written: {reason}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())
