"""Names this process so that others on the same host can tell whether it still lives."""

import os
import socket
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """``host/boot/namespace/pid/start``; the middle parts are empty where there is no /proc."""
    return "/".join((_host(), str(os.getpid()), _started(os.getpid())))


def is_gone(process: str) -> bool:
    """Whether the process named is known to have ended.

    False whenever it cannot be known from here: another host, another boot, no /proc.
    """
    host, _, rest = process.rpartition("/")[0].rpartition("/")
    started = process.rpartition("/")[2]
    if host != _host() or not started or not rest.isdigit():
        return False
    return _started(int(rest)) != started


def _host() -> str:
    return "/".join((socket.gethostname(), _read("sys/kernel/random/boot_id"), _namespace()))


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The process's start time in clock ticks since boot; empty when there is none such."""
    stat = _read(f"{pid}/stat")
    # The command name, in parentheses, may hold anything.
    fields = stat.rpartition(")")[2].split()
    zombie = fields[:1] == ["Z"]
    return fields[19] if len(fields) > 19 and not zombie else ""
