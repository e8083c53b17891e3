"""Reading, writing and inspecting GCT: cmapPy, plain pandas and ours, side by side.

    python -m benchmarks.payloads [--rows 20000] [--columns 500] [--rounds 2]

Each contender runs in a process of its own. Times are of the work alone, without imports; ratios
are of CPU time, which other work on the machine disturbs less. The file holds numbers of full
precision, as it must to tell who keeps them: ``exact`` says so.
cmapPy's reader and writer need pandas below 3, so run this with Python 3.11.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import numpy as np
    from cmapPy.pandasGEXpress.GCToo import GCToo

    Matrix = np.ndarray[Any, Any]

SEED = 20261122


def main() -> None:
    """Make the file, run every contender in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", nargs=2, metavar=("CONTENDER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _run_one(options.one[0], Path(options.one[1]))
        return
    with tempfile.TemporaryDirectory(prefix="polly-bench-") as folder:
        file = Path(folder) / "bench.gct"
        _write_sample(file, options.rows, options.columns)
        _show(file, [_round(file) for _ in range(options.rounds)], options.rows, options.columns)


def _matrix(rows: int, columns: int) -> "Matrix":
    import numpy as np

    return np.random.default_rng(SEED).lognormal(2, 2, size=(rows, columns))


def _write_sample(file: Path, rows: int, columns: int) -> None:
    from polly_core.payloads.gct import write_gct

    write_gct(_sample(_matrix(rows, columns)), file)


def _sample(values: "Matrix") -> "GCToo":
    import pandas as pd
    from cmapPy.pandasGEXpress.GCToo import GCToo

    genes = [f"gene{number}" for number in range(values.shape[0])]
    samples = [f"sample{number}" for number in range(values.shape[1])]
    return GCToo(
        pd.DataFrame(values, index=genes, columns=samples),
        pd.DataFrame({"symbol": [f"S{name}" for name in genes]}, index=genes),
        pd.DataFrame({"dose": range(len(samples)), "cell": "A375"}, index=samples),
    )


def _round(file: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for name in CONTENDERS:
        command = [sys.executable, "-m", "benchmarks.payloads", "--one", name, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found[name] = json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr}
    return found


def _run_one(name: str, file: Path) -> None:
    warnings.simplefilter("ignore")
    work = CONTENDERS[name](file)
    before, cpu_before = time.perf_counter(), time.process_time()
    exact = work()
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu_before
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    sys.stdout.write(
        json.dumps({"seconds": seconds, "cpu": cpu, "peak": int(peak) / 1024, "exact": exact()})
    )


# A contender imports and prepares, gives the work to be timed, which gives the check.
Check = Callable[[], bool | None]
Contender = Callable[[Path], Callable[[], Check]]


def _is_exact(read: "Callable[[], Matrix]") -> Check:
    def check() -> bool:
        found = read()
        return bool((found == _matrix(*found.shape)).all())

    return check


def _ours_reads(file: Path) -> Callable[[], Check]:
    import pandas as pd  # noqa: F401
    import pyarrow.csv  # noqa: F401

    from polly_core.payloads.gct import read_gct

    def work() -> Check:
        gctoo = read_gct(file)
        return _is_exact(gctoo.data_df.to_numpy)

    return work


def _cmappy_reads(file: Path) -> Callable[[], Check]:
    from cmapPy.pandasGEXpress.parse import parse

    def work() -> Check:
        gctoo = parse(str(file))
        return _is_exact(gctoo.data_df.to_numpy)

    return work


def _pandas_reads(precision: "str") -> Contender:
    def contender(file: Path) -> Callable[[], Check]:
        import numpy as np
        import pandas as pd

        def work() -> Check:
            names = file.open().readlines(3_000_000)[2].split("\t")
            types = dict.fromkeys(range(2), str) | dict.fromkeys(range(2, len(names)), np.float64)
            frame = pd.read_csv(
                file,
                sep="\t",
                header=None,
                skiprows=5,
                dtype=types,
                float_precision=precision,  # type: ignore[call-overload]
            )
            return _is_exact(frame.iloc[:, 2:].to_numpy)

        return work

    return contender


def _ours_inspects(file: Path) -> Callable[[], Check]:
    from polly_core.payloads.inspection import inspect

    def work() -> Check:
        assert not inspect(file).problems
        return lambda: None

    return work


def _ours_writes(file: Path) -> Callable[[], Check]:
    import pyarrow.compute  # noqa: F401

    from polly_core.payloads.gct import read_gct, write_gct

    gctoo, target = _sample(_matrix_of(file)), file.with_name("ours.gct")

    def work() -> Check:
        write_gct(gctoo, target)
        return _is_exact(read_gct(target).data_df.to_numpy)

    return work


def _cmappy_writes(file: Path) -> Callable[[], Check]:
    from cmapPy.pandasGEXpress.write_gct import write

    from polly_core.payloads.gct import read_gct

    gctoo, target = _sample(_matrix_of(file)), file.with_name("cmappy.gct")

    def work() -> Check:
        write(gctoo, str(target))
        return _is_exact(read_gct(target).data_df.to_numpy)

    return work


def _matrix_of(file: Path) -> "Matrix":
    from polly_core.payloads.inspection import inspect

    return _matrix(*inspect(file).shape)


CONTENDERS: dict[str, Contender] = {
    "read: cmapPy": _cmappy_reads,
    "read: pandas, default precision": _pandas_reads("high"),
    "read: pandas, round_trip": _pandas_reads("round_trip"),
    "read: ours": _ours_reads,
    "inspect: ours": _ours_inspects,
    "write: cmapPy": _cmappy_writes,
    "write: ours": _ours_writes,
}


def _show(file: Path, rounds: list[dict[str, dict[str, Any]]], rows: int, columns: int) -> None:
    size = file.stat().st_size / 1e6
    table = Table(title=f"GCT of {rows} x {columns}, {size:.0f} MB, {os.cpu_count()} cores")
    for heading in ("", "seconds", "CPU s", "cmapPy takes", "peak MB", "exact"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in CONTENDERS:
        runs = [each[name] for each in rounds]
        if failed := next((run["failed"] for run in runs if "failed" in run), None):
            table.add_row(name, "failed: " + str(failed).strip().splitlines()[-1])
            continue
        rival = "write: cmapPy" if name.startswith("write") else "read: cmapPy"
        cpu = min(run["cpu"] for run in runs)
        rivals = [each[rival]["cpu"] for each in rounds if "cpu" in each[rival]]
        ratio = f"{min(rivals) / cpu:.1f}x" if rivals else ""
        exact = {True: "yes", False: "no", None: ""}[runs[0]["exact"]]
        seconds = " / ".join(f"{run['seconds']:.2f}" for run in runs)
        peak = f"{max(run['peak'] for run in runs):.0f}"
        table.add_row(name, seconds, f"{cpu:.2f}", ratio, peak, exact)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
