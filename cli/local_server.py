"""The local Prefect server: one, detached, on loopback, in the user's data folder, left running.

It is a real server and not Prefect's ephemeral one, which loses records when its process exits.
Nothing here imports Prefect, so that looking for the server costs milliseconds.
"""

import http.client
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from polly_core.errors import CannotProceed
from polly_core.models.jsonvalue import Model

START_DEADLINE = 120.0
STOP_DEADLINE = 330.0
HOST = "127.0.0.1"
LEASES_ON_DISK = "prefect.server.concurrency.lease_storage.filesystem"
LOG_LIMIT = 10_000_000


class Recorded(Model):
    """What is written down about the server that was started last."""

    port: int
    version: str
    """Of Prefect: each has its own home, since a newer one's database locks an older one out."""
    pid: int | None = None
    """None when it was stopped; the port is kept, so that the address stays the same."""
    started: str = ""
    """The process's own start time: a process id alone may by now be someone else's."""

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.port}/api"


class Status(Model):
    """What ``polly-bulk prefect`` says about the local server."""

    running: bool
    api_url: str | None
    ui_url: str | None
    pid: int | None
    version: str
    home: str
    log: str


class LocalServer:
    """The server that belongs to one data folder.

    ``clock`` and ``sleep`` are those of the waiting loops.
    """

    def __init__(
        self,
        home: Path,
        *,
        start_deadline: float = START_DEADLINE,
        stop_deadline: float = STOP_DEADLINE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = home / "prefect"
        self.version = importlib.metadata.version("prefect")
        self.prefect_home = self.folder / self.version
        self.log = self.folder / "server.log"
        self._record = self.folder / "server.json"
        self._start_deadline = start_deadline
        self._stop_deadline = stop_deadline
        self._clock = clock
        self._sleep = sleep

    def ensure(self) -> str:
        """Find the server or start it; return the URL of its API once it answers.

        Raises:
            CannotProceed: it did not answer in time, died, or is one of another Prefect version.
        """
        with self._locked():
            recorded = self._running()
            if recorded is None:
                recorded = self._start()
            elif recorded.version != self.version:
                raise CannotProceed(
                    f"the local Prefect server (process {recorded.pid}) runs Prefect "
                    f"{recorded.version}, this program has {self.version}; "
                    "stop it with 'polly-bulk prefect stop' and try again"
                )
            self._wait_until_it_answers(recorded)
        return recorded.api_url

    def stop(self) -> bool:
        """Let the server write down what it was told, then stop it. False if none was running.

        Raises:
            CannotProceed: it is still there after the deadline.
        """
        with self._locked():
            recorded = self._running()
            if recorded is None or recorded.pid is None:
                return False
            os.kill(recorded.pid, signal.SIGTERM)
            deadline = self._clock() + self._stop_deadline
            while _start_time(recorded.pid) == recorded.started:
                if self._clock() > deadline:
                    raise CannotProceed(
                        f"the local Prefect server (process {recorded.pid}) is still writing down "
                        f"records {self._stop_deadline:g} s after it was told to stop; "
                        f"see {self.log}"
                    )
                self._sleep(0.1)
            write_record(self._record, recorded.model_copy(update={"pid": None, "started": ""}))
        return True

    def status(self) -> Status:
        """Where the server is, and whether it answers."""
        recorded = self._running()
        answers = recorded is not None and _answers(recorded.port)
        return Status(
            running=answers,
            api_url=recorded.api_url if recorded and answers else None,
            ui_url=f"http://{HOST}:{recorded.port}" if recorded and answers else None,
            pid=recorded.pid if recorded else None,
            version=recorded.version if recorded else self.version,
            home=str(self.prefect_home),
            log=str(self.log),
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "server.lock")
        wait = self._start_deadline + self._stop_deadline
        try:
            lock.acquire(timeout=wait)
        except Timeout as error:
            raise CannotProceed(
                f"another process has held {lock.lock_file} for {wait:g} s while it starts or "
                f"stops the local Prefect server; see {self.log}"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _read(self) -> Recorded | None:
        try:
            return Recorded.model_validate_json(self._record.read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _running(self) -> Recorded | None:
        recorded = self._read()
        if recorded is None or recorded.pid is None:
            return None
        return recorded if _start_time(recorded.pid) == recorded.started else None

    def _start(self) -> Recorded:
        last = self._read()
        port = _usable_port(last.port if last else 0)
        self.prefect_home.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.old"))
        failure = self._launch(port)
        recorded = self._read()
        if failure or recorded is None or recorded.port != port:
            raise CannotProceed(f"the local Prefect server could not be launched: {failure}")
        return recorded

    def _launch(self, port: int) -> str:
        """What went wrong, if anything; the server records itself."""
        module = [sys.executable, "-m", "cli.local_server_process"]
        try:
            launched = subprocess.run(  # noqa: S603 - our own module
                [*module, str(port), self.version, str(self._record), str(self.log)],
                env=server_environment(os.environ, self.prefect_home, port),
                cwd=self.prefect_home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=self._start_deadline,
            )
        except subprocess.TimeoutExpired as error:
            return str(error)
        return launched.stderr.strip() if launched.returncode else ""

    def _wait_until_it_answers(self, recorded: Recorded) -> None:
        deadline = self._clock() + self._start_deadline
        while not _answers(recorded.port):
            if recorded.pid is None or _start_time(recorded.pid) != recorded.started:
                raise CannotProceed(
                    "the local Prefect server ended while it started. Its last words:\n"
                    f"{_tail(self.log)}\nThe whole log: {self.log}"
                )
            if self._clock() > deadline:
                raise CannotProceed(
                    f"the local Prefect server (process {recorded.pid}) did not answer on port "
                    f"{recorded.port} within {self._start_deadline:g} s; it may still come up: "
                    f"try again, or stop it with 'polly-bulk prefect stop'. Log: {self.log}"
                )
            self._sleep(0.1)


def ensure_server(home: Path) -> str:
    """The URL of the local Prefect server's API; starts the server where none runs.

    Raises:
        CannotProceed: it could not be started.
    """
    return LocalServer(home).ensure()


def write_record(path: Path, recorded: Recorded) -> None:
    """Replace the record as a whole; a reader never sees half of it."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(recorded.model_dump_json(), encoding="utf-8")
    temporary.replace(path)


def record_of(pid: int, port: int, version: str) -> Recorded:
    """What is to be written down about a process that was just started."""
    return Recorded(port=port, version=version, pid=pid, started=_start_time(pid) or "")


def server_environment(environ: Mapping[str, str], home: Path, port: int) -> dict[str, str]:
    """The environment of the server: the caller's without its Prefect settings and our secrets."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("PREFECT_", "POLLY_"))
    }
    root = str(Path(__file__).resolve().parents[1])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))
    return kept | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # In memory, a slot held by a process that died would be lost with the server's restart.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_ON_DISK,
    }


def _start_time(pid: int) -> str | None:
    """When a process started, in the system's own words; None when it is gone or a zombie."""
    if Path("/proc/self/stat").exists():
        try:
            # The name may hold blanks and brackets; the fields after it do not.
            fields = (
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            )
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    found = subprocess.run(  # noqa: S603 - only a number goes in
        command, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def _usable_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CannotProceed(f"no free port on {HOST} for the local Prefect server")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/api/health")
        response = connection.getresponse()
        return response.status == 200 and json.loads(response.read()) is True
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def _tail(log: Path, *, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(it said nothing)"
