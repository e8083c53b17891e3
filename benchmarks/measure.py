"""Run a program and measure it from outside: wall, CPU and peak memory, children included."""

import os
import subprocess
import threading
import time
from pathlib import Path

from polly_core.models.jsonvalue import Model

_SAMPLE_SECONDS = 0.1


class Measured(Model):
    """What a process came to."""

    code: int
    stdout: str
    started_at: float
    ended_at: float
    cpu: float
    """User and system seconds of the process and every child it waited for."""
    peak_mb: float
    """Sum of the high-water marks of the process and its living descendants."""


def run(command: list[str], *, env: dict[str, str], log: Path, timeout: float) -> Measured:
    """Run to the end; a program that outlives the time-out is killed and its code is negative."""
    started_at = time.time()
    with log.open("w") as sink:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, text=True, env=env)
    watch = _Watch(child.pid)
    watch.start()
    killer = threading.Timer(timeout, child.kill)
    killer.start()
    assert child.stdout is not None
    try:
        stdout = child.stdout.read()
        # Not Popen.wait: only wait4 gives this child's own usage.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    finally:
        killer.cancel()
        watch.stop()
        if child.returncode is None:
            child.kill()
            child.wait()
        child.stdout.close()
    return Measured(
        code=child.returncode,
        stdout=stdout,
        started_at=started_at,
        ended_at=time.time(),
        cpu=usage.ru_utime + usage.ru_stime,
        peak_mb=watch.peak_kb / 1024,
    )


class _Watch(threading.Thread):
    """Samples high-water marks. They only rise, so that a slow sampler loses next to nothing.

    ``ru_maxrss`` cannot be used: a child inherits that of the process it was forked from.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.peak_kb = 0

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            total = sum(_high_water_kb(pid) for pid in _tree(self._pid))
            self.peak_kb = max(self.peak_kb, total)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _tree(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for path in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in path.read_text().split())
            except OSError:
                continue  # ended meanwhile
    return found


def _high_water_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1])
