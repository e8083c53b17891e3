"""The bundled S3 server (SeaweedFS): started, watched, restarted and stopped."""

import http.client
import logging
import random
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from polly_core.errors import CannotProceed, PollyError, StorageError
from polly_core.models.catalog import AtlasId
from polly_core.server import seaweed_process as system
from polly_core.server.s3 import S3Access, check_round_trip, ensure_bucket, s3_client
from polly_core.server.seaweed_config import (
    BUCKET,
    LOOPBACK,
    REGION,
    ROLE_ARN,
    S3_PORT,
    KeyPair,
    SeaweedConfig,
    command_line,
    data_folder,
    environment,
    load_config,
    port_is_free,
    write_server_files,
)
from polly_core.server.tokens import StsIssuer

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

_PROBE_KEY = ".server/probe"  # no atlas id begins with a dot
_LOOK_SECONDS = 0.1
_SICK_CHECKS = 6
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0


class Seaweed:
    """One S3 server over one folder, for as long as this object is started.

    One thread starts the process, watches it, starts it again when it ends or does not answer
    six times in a row, and stops it. The process ends when that thread does, so it never
    outlives this program; one that still did is found at the next start and stopped.
    """

    def __init__(
        self,
        folder: Path,
        *,
        s3_port: int = 0,
        binary: Path | None = None,
        start_seconds: float = 60.0,
        health_seconds: float = 5.0,
        chance: random.Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder.resolve()
        self._s3_port = s3_port
        self._binary = binary
        self._start_seconds = start_seconds
        self._health_seconds = health_seconds
        self._chance = chance or random.SystemRandom()
        self._monotonic = monotonic
        self._config: SeaweedConfig | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._first_start = threading.Event()
        self._failure: PollyError | None = None
        self._clients: tuple[S3Client, StsIssuer] | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()

    @property
    def config(self) -> SeaweedConfig:
        """Ports and credentials; known once it was started."""
        if self._config is None:
            raise CannotProceed("The bundled S3 server was not started")
        return self._config

    @property
    def pid(self) -> int | None:
        """The server's process id, while there is one."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self._ready.is_set() and self.pid is not None

    def access(self) -> S3Access:
        """The server's own access to all objects."""
        return access_of(self.config, self.config.catalog)

    def vendor(self) -> S3Access:
        """The identity that may only ask for temporary credentials."""
        return access_of(self.config, self.config.vendor)

    def start(self) -> None:
        """Return when objects can be written and temporary credentials issued.

        Raises:
            CannotProceed: unsupported platform, not installed, a port in use, disk full, or it
                does not come up; the message says which. Nothing is left running.
        """
        binary = self._binary or system.find_binary()
        self._prepare_folder()
        self._config = load_config(self._folder, s3_port=self._s3_port, chance=self._chance)
        write_server_files(self._folder, self._config)
        self._thread = threading.Thread(
            target=self._live, args=(binary,), name="seaweed", daemon=True
        )
        self._thread.start()
        self._first_start.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """End the process: asked first, killed after 15 seconds. A second call does nothing."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def diagnosis(self) -> str:
        """Why requests to it may be failing right now; empty when nothing is known."""
        if not self.ready:
            return "the bundled S3 server is being restarted"
        return system.disk_problem(self._folder)

    def _prepare_folder(self) -> None:
        try:
            data_folder(self._folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CannotProceed(
                f"The folder {self._folder} for the objects cannot be made: {error.strerror}"
            ) from error
        system.check_disk(self._folder)
        stopped = system.stop_leftovers(self._folder)
        if stopped:
            log.warning("stopped %d S3 server left by a killed process", stopped)

    def _live(self, binary: Path) -> None:
        # All in one thread: the process is told to end when the thread that started it ends.
        try:
            self._launch(binary)
        except PollyError as error:
            self._failure = error
            return
        finally:
            self._first_start.set()
        self._watch(binary)
        self._end_process()

    def _launch(self, binary: Path) -> None:
        system.sweep_sockets(self.config.all_ports().values())
        system.shorten_log(self._folder)
        logged = system.log_size(self._folder)
        self._process = system.spawn(
            command_line(binary, self._folder, self.config),
            environment(self._folder, self.config),
            self._folder,
        )
        try:
            self._await_service(logged)
        except PollyError:
            self._end_process()
            raise
        self._ready.set()

    def _await_service(self, logged: int) -> None:
        deadline = self._monotonic() + self._start_seconds
        trouble = "its port did not open"
        self._probes()
        while self._monotonic() < deadline:
            if self._stopping.wait(0.02):
                raise CannotProceed("Stopped while the bundled S3 server was starting")
            if self.pid is None:
                raise CannotProceed(self._why_it_ended(logged))
            if port_is_free(self.config.ports[S3_PORT]):
                continue
            try:
                self._make_ready()
                return
            except StorageError as error:
                trouble = str(error)
                self._stopping.wait(_LOOK_SECONDS)
        raise CannotProceed(
            f"The bundled S3 server was not ready after {self._start_seconds:.0f} s: {trouble}. "
            f"Its log is {system.log_file(self._folder)}"
        )

    def _why_it_ended(self, logged: int) -> str:
        said = system.log_since(self._folder, logged)
        return (
            f"The bundled S3 server ended while it was starting: {said or 'it gave no reason'}. "
            f"Its log is {system.log_file(self._folder)}"
        )

    def _make_ready(self) -> None:
        client, issuer = self._probes()
        ensure_bucket(client, BUCKET)
        # It accepts requests a moment before it knows where its objects are.
        check_round_trip(client, BUCKET, _PROBE_KEY)
        # With a short signing key it would serve objects, but never issue credentials.
        issuer.issue(AtlasId("start-up-check"), write=False)

    def _probes(self) -> "tuple[S3Client, StsIssuer]":
        # Making clients takes as long as the server takes to start: once is enough.
        if self._clients is None:
            issuer = StsIssuer(self.vendor(), role_arn=ROLE_ARN)
            self._clients = (s3_client(self.access()), issuer)
        return self._clients

    def _watch(self, binary: Path) -> None:
        checked_at, sick = self._monotonic(), 0
        while not self._stopping.wait(_LOOK_SECONDS):
            if self.pid is not None and self._monotonic() - checked_at > self._health_seconds:
                sick = 0 if self._is_healthy() else sick + 1
                checked_at = self._monotonic()
            if self.pid is None or sick >= _SICK_CHECKS:
                log.error("the S3 server %s; starting it again", "hangs" if self.pid else "died")
                self._end_process(patience=0)
                self._launch_again(binary)
                checked_at, sick = self._monotonic(), 0

    def _launch_again(self, binary: Path) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                self._launch(binary)
            except PollyError as error:
                log.error("the S3 server did not start: %s", error)  # noqa: TRY400 - says it all
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                log.warning("the S3 server serves again, as process %s", self.pid)
                return

    def _is_healthy(self) -> bool:
        port = self.config.ports[S3_PORT]
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=self._health_seconds)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _end_process(self, *, patience: float = system.STOP_SECONDS) -> None:
        self._ready.clear()
        if self._process is not None:
            system.stop(self._process, patience=patience)
        system.sweep_sockets(self.config.all_ports().values())


def access_of(config: SeaweedConfig, pair: KeyPair) -> S3Access:
    """The store as one of its two identities sees it."""
    return S3Access(
        endpoint_url=config.endpoint_url,
        region=REGION,
        bucket=BUCKET,
        access_key=pair.access_key,
        secret_key=SecretStr(pair.secret_key),
    )
