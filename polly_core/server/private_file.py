"""Files that only their owner may read: keys, credentials."""

import os
import stat
from pathlib import Path

from polly_core.errors import CannotProceed


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; it has mode 0600 from its first byte.

    Raises:
        CannotProceed: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, 0o600)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise CannotProceed(
            f"{path} cannot be written: {error.strerror}. Check that its folder may be written "
            "to and that the disk is not full"
        ) from error


def read_private(path: Path) -> str | None:
    """The file's text; None where there is no such file.

    Raises:
        CannotProceed: it cannot be read, or others than its owner may read it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CannotProceed(f"{path} cannot be read as text: {error}") from error
    if mode & 0o077:
        raise CannotProceed(
            f"{path} holds a secret but has mode {mode:04o}, so that others may read it. "
            f"Run: chmod 600 {path}"
        )
    return text
