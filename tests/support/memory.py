"""How much memory a test's process took."""

from pathlib import Path


def peak_kib() -> int:
    """The most KiB that were resident in this process since its program began.

    ``ru_maxrss`` would not do: a child begins with that of the process it was forked from.
    """
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])
