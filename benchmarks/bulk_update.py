"""The bulk metadata update beside what people do today and beside its limit, in one run.

As hosted as it can be made on one machine: a stub of the catalog answers every call after 100 ms,
metadata objects are in a real S3 server, Prefect's server is up before the clock runs. The clock
runs from the first API call to the last committed outcome; the whole process is given beside it.
Figures of different runs must not be compared, ratios inside one run may.

    python -m benchmarks.bulk_update                     # 10,000 datasets, everybody
    python -m benchmarks.bulk_update --n 1000            # a quick look
    python -m benchmarks.bulk_update --large 100000      # and the memory of a large run
    python -m benchmarks.bulk_update --only ours64,limit64 --json out.json --check
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import contenders
from benchmarks.contenders import CONTENDERS, Contender, Result
from benchmarks.report import judge, print_table, print_targets
from benchmarks.stub import StubConfig
from benchmarks.surroundings import object_store, prefect_server, running_stub, seed_objects

VENDOR_PYTHONS = (Path(".interop-venv/bin/python"),)


def main() -> int:
    """Run the chosen contenders in order; 1 when ``--check`` and a target was missed."""
    arguments = _arguments()
    chosen = _chosen(arguments.only, arguments.large)
    with _field(arguments, chosen) as field:
        rounds = [
            [_run(field, each, arguments, number) for each in chosen]
            for number in range(arguments.rounds)
        ]
    results = [_median(list(runs)) for runs in zip(*rounds, strict=True)]
    print_table(results)
    verdicts = judge(results)
    print_targets(verdicts)
    if arguments.json is not None:
        document = {
            "n": arguments.n,
            "delay_ms": arguments.delay_ms,
            "cpus": os.cpu_count(),
            "results": [each.model_dump(mode="json") for each in results],
            "targets": [each.model_dump(mode="json") for each in verdicts],
        }
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    missed = any(each.met is False for each in verdicts) or not all(each.right for each in results)
    return int(arguments.check and missed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bulk_update", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--n", type=int, default=10_000, help="datasets")
    parser.add_argument("--large", type=int, default=0, help="datasets of the memory run, 0: none")
    parser.add_argument("--delay-ms", type=float, default=100.0)
    parser.add_argument(
        "--only", default="", help="comma-separated, in order: " + ",".join(CONTENDERS)
    )
    parser.add_argument("--vendor-python", type=Path, help="a Python with polly-python 4.8.0")
    parser.add_argument("--rounds", type=int, default=1, help="repeat all, keep each one's median")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--under", default="", help="a profiler to run each contender under")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    return parser.parse_args()


def _chosen(only: str, large: int) -> list[Contender]:
    names = only.split(",") if only else [name for name in CONTENDERS if name != "large64"]
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown:
        raise SystemExit(
            f"no such contender: {', '.join(unknown)}; there are {', '.join(CONTENDERS)}"
        )
    if large and "large64" not in names:
        names.insert(0, "large64")
    return [CONTENDERS[name] for name in names]


@contextmanager
def _field(arguments: argparse.Namespace, chosen: list[Contender]) -> Iterator[contenders.Field]:
    folder = Path(tempfile.mkdtemp(prefix="polly-bulk-bench-"))
    try:
        with object_store(folder / "objects") as (access, tokens):
            _say(f"storing the metadata of {arguments.n} datasets, before and after")
            seed_objects(access, arguments.n, folder / "index.jsonl")
            config = StubConfig(
                index=folder / "index.jsonl",
                count=arguments.n,
                delay_ms=arguments.delay_ms,
                objects=access,
                tokens=tokens,
            )
            with (
                running_stub(config, folder) as stub,
                prefect_server(folder / "prefect") as prefect_url,
            ):
                yield contenders.Field(
                    folder=folder,
                    stub=stub,
                    access=access,
                    prefect_url=prefect_url,
                    under=tuple(shlex.split(arguments.under)),
                    vendor_python=_vendor_python(arguments.vendor_python, chosen),
                )
    finally:
        if arguments.keep:
            _say(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _vendor_python(given: Path | None, chosen: list[Contender]) -> Path | None:
    if not any(each.vendor for each in chosen):
        return None
    for path in (given, *VENDOR_PYTHONS):
        if path is not None and path.exists():
            return path.absolute()
    raise SystemExit(
        "the documented loop needs a Python with polly-python 4.8.0: run 'make bench', which makes "
        ".interop-venv, or give --vendor-python, or leave it out with --only"
    )


def _run(
    field: contenders.Field, each: Contender, arguments: argparse.Namespace, number: int
) -> Result:
    count = arguments.large or 100_000 if each.name == "large64" else arguments.n
    _say(f"{each.name}: {each.what}, {count} datasets")
    return contenders.run(field, each, count, folder=field.folder / f"{each.name}-{number}")


def _median(runs: list[Result]) -> Result:
    """The run with the median wall time, but wrong if any was."""
    middle = sorted(runs, key=lambda run: run.seconds)[(len(runs) - 1) // 2]
    return middle.model_copy(update={"right": all(run.right for run in runs)})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
