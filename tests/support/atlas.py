"""A real self-hosted atlas for tests: ``polly-bulk serve`` in a process of its own."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from polly_core.server.auth import AccessControl
from polly_core.server.data_folder import DataFolder
from polly_core.server.seaweed_config import SeaweedConfig
from polly_core.server.seaweed_process import leftovers, sweep_sockets
from polly_core.server.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]
_START_SECONDS = 90
_STOP_SECONDS = 40

# Ends the program when the thread that started it ends, even if that is killed.
_GUARD = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
_PROGRAM = "from cli.main import main; main()"


def polly_bulk(*arguments: str) -> list[str]:
    """The command line of ``polly-bulk`` with this interpreter, to be run in ``REPOSITORY``."""
    return [sys.executable, "-c", _PROGRAM, *arguments]


class RunningAtlas:
    """A ``serve`` process and what its JSON line said. ``new_atlas`` gives a fresh, empty one."""

    def __init__(
        self,
        data_dir: Path,
        flags: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.flags = tuple(flags)
        self.log = data_dir.with_name(f"{data_dir.name}.log")
        self._environment = dict(os.environ if environment is None else environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._store: Store | None = None
        self.api_url = ""
        self.s3_endpoint_url = ""
        self.region = ""
        self.api_key = ""
        self.read_key = ""
        self.atlases: list[str] = []
        self.pid = 0

    def start(self) -> "RunningAtlas":
        """Start it, again if it ended; returns when it has printed its line."""
        arguments = ("serve", "--data", str(self.data_dir), *self.flags)
        guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *polly_bulk(*arguments)],
                cwd=REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        line = self._first_line()
        self.api_url = line["api_url"]
        self.s3_endpoint_url = line["s3_endpoint_url"]
        self.region = line["region"]
        self.api_key = line["api_key"]
        self.read_key = line["read_key"]
        self.atlases = list(line["atlases"])
        self.pid = int(line["pid"])
        return self

    def new_atlas(self) -> str:
        """The id of a fresh, empty atlas on the running server."""
        atlas_id = f"t{uuid.uuid4().hex[:12]}"
        self.access().add_atlas(atlas_id)
        return atlas_id

    def access(self) -> AccessControl:
        """Keys and atlases of the running server, to add more."""
        if self._store is None:
            self._store = Store.open(DataFolder(self.data_dir).database)
        return AccessControl(self._store)

    def s3_pid(self) -> int:
        """The process id of its S3 server."""
        found = leftovers(DataFolder(self.data_dir).objects)
        assert len(found) == 1, f"expected one S3 server of {self.data_dir}, found {found}"
        return found[0]

    def kill_s3(self) -> None:
        """kill -9 of its S3 server; it starts another one by itself."""
        os.kill(self.s3_pid(), signal.SIGKILL)

    def kill(self) -> None:
        """kill -9 of the server itself. ``start`` starts it again on the same folder."""
        assert self._process is not None
        self._process.kill()
        self._wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._wait()

    def close(self) -> None:
        """Stop it if it runs, and remove its folder."""
        if self._store is not None:
            self._store.close()
        if self._process is not None and self._process.poll() is None:
            self.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        while leftovers(DataFolder(self.data_dir).objects) and time.monotonic() < deadline:
            time.sleep(0.05)
        config = DataFolder(self.data_dir).objects / "config.json"
        if config.exists():
            kept = SeaweedConfig.model_validate_json(config.read_text())
            sweep_sockets(kept.all_ports().values())
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _wait(self) -> int:
        assert self._process is not None
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def _first_line(self) -> dict[str, str]:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_SECONDS)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            self._process.kill()
            code = self._wait()
            said = self.log.read_text("utf-8", "replace")[-4000:]
            raise RuntimeError(f"serve did not start (exit code {code}): {said}")
        answer: dict[str, str] = json.loads(line)
        return answer


@contextlib.contextmanager
def running_atlas(
    data_dir: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningAtlas]:
    """A server of your own, for tests that kill it or make it faulty (``--drop-rate`` …)."""
    atlas = RunningAtlas(data_dir, flags, environment=environment)
    try:
        yield atlas.start()
    finally:
        atlas.close()
