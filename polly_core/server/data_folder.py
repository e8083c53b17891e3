"""The folder of a self-hosted atlas: who may use it now, and what it keeps besides its data."""

import contextlib
import json
import os
import secrets
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import SecretStr, ValidationError

from polly_core.errors import CannotProceed
from polly_core.models.jsonvalue import Model
from polly_core.server.private_file import read_private, write_private

API_KEY_FILE = "api_key"
READ_KEY_FILE = "read_key"


class LastStart(Model):
    """What the folder remembers of the server that used it last."""

    pid: int
    host: str
    port: int


class DataFolder:
    """A folder that one server at a time may use. The lock ends with its process."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock = FileLock(self.path / ".lock")

    @property
    def database(self) -> Path:
        """The catalog."""
        return self.path / "catalog.db"

    @property
    def objects(self) -> Path:
        """Everything of the bundled S3 server."""
        return self.path / "seaweed"

    def lock(self) -> None:
        """Make the folder where it is missing, and take it for this process.

        Raises:
            CannotProceed: another process uses it, or it cannot be made or written to.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise CannotProceed(self._who_has_it()) from error
        except OSError as error:
            raise CannotProceed(
                f"The data folder {self.path} cannot be used: {error.strerror}. Name a folder "
                "that may be written to with --data"
            ) from error

    def unlock(self) -> None:
        """Let others take the folder. A second call does nothing."""
        self._lock.release()

    def last_start(self) -> LastStart | None:
        """What is remembered; None when there is nothing useful."""
        with contextlib.suppress(OSError, ValidationError):
            return LastStart.model_validate_json(self._server_file.read_bytes())
        return None

    def remember(self, *, host: str, port: int) -> None:
        """Keep what the next start, or another process, should know."""
        record = LastStart(pid=os.getpid(), host=host, port=port)
        write_private(self._server_file, json.dumps(record.model_dump()))

    def key(self, file: Path) -> SecretStr:
        """The API key in a file; a new one is made and written where there is none.

        Raises:
            CannotProceed: it cannot be read or written, is empty, or others may read it.
        """
        text = read_private(file)
        if text is None:
            text = secrets.token_urlsafe(32)
            write_private(file, f"{text}\n")
        if not text.strip():
            raise CannotProceed(
                f"The key file {file} is empty. Delete it, and a key is made at the next start"
            )
        return SecretStr(text.strip())

    @property
    def _server_file(self) -> Path:
        return self.path / "server.json"

    def _who_has_it(self) -> str:
        last = self.last_start()
        who = f" (process {last.pid}, http://{last.host}:{last.port})" if last else ""
        return (
            f"The data folder {self.path} is in use by another server{who}. Stop that one, or "
            "name another folder with --data"
        )
