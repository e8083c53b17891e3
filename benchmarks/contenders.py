"""Who takes part, and one measured run of one of them."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.contestants.contest import Contest
from benchmarks.stub import ATLAS, ObjectAccess
from benchmarks.surroundings import StubControl
from polly_core.models.jsonvalue import Model

_PROGRAMS = Path(__file__).parent / "contestants"
_TIMEOUT_SECONDS = 3600.0


class Contender(Model):
    """A program with its concurrency."""

    name: str
    what: str
    program: str
    concurrency: int
    verify: bool = False
    again: bool = False
    """Runs on what the contender before it left, so that there is nothing to write."""
    vendor: bool = False


CONTENDERS = {
    each.name: each
    for each in (
        Contender(
            name="loop10",
            what="the SDK's documented loop, 10 threads",
            program="documented_loop",
            concurrency=10,
            vendor=True,
        ),
        Contender(
            name="loop64",
            what="the same with 64 threads",
            program="documented_loop",
            concurrency=64,
            vendor=True,
        ),
        Contender(
            name="ours10",
            what="polly-bulk, 10 in flight, no verification",
            program="ours",
            concurrency=10,
        ),
        Contender(
            name="limit64",
            what="the limit, 64 in flight, no verification",
            program="limit",
            concurrency=64,
        ),
        Contender(
            name="ours64",
            what="polly-bulk, 64 in flight, no verification",
            program="ours",
            concurrency=64,
        ),
        Contender(
            name="again64",
            what="the same once more: nothing to write",
            program="ours",
            concurrency=64,
            again=True,
        ),
        Contender(
            name="limit64v",
            what="the limit, 64 in flight, verified",
            program="limit",
            concurrency=64,
            verify=True,
        ),
        Contender(
            name="ours64v",
            what="polly-bulk, 64 in flight, verified",
            program="ours",
            concurrency=64,
            verify=True,
        ),
        Contender(
            name="large64",
            what="polly-bulk, 64 in flight, many datasets",
            program="ours",
            concurrency=64,
        ),
        # Last: its server is busy recording task runs long after the flow ended.
        Contender(
            name="mapped64",
            what="one Prefect task per dataset, 64 workers",
            program="mapped",
            concurrency=64,
        ),
    )
}


@dataclass(frozen=True)
class Field:
    """Where a contest takes place."""

    folder: Path
    stub: StubControl
    access: ObjectAccess
    prefect_url: str
    vendor_python: Path | None
    under: tuple[str, ...] = ()
    """A profiler's command line, put before each contender's."""


class Result(Model):
    """One contender's figures. Per dataset where it says so."""

    name: str
    what: str
    n: int
    seconds: float
    """From the first API call to the last committed outcome."""
    process_seconds: float
    cpu_ms: float
    """Per dataset, between the program's imports and its last outcome."""
    process_cpu_ms: float
    """Per dataset, of the whole process and its children."""
    peak_mb: float
    calls: dict[str, int]
    peak_in_flight: int
    stub_load: float
    """Share of one core that the stub used; far from 1, or the stub is what was measured."""
    writes: int
    right: bool
    """Every dataset has the expected metadata, each written once (again: none written)."""


def run(field: Field, contender: Contender, count: int, *, folder: Path) -> Result:
    """One contest: fresh datasets, unless it is about finding nothing to do.

    Raises:
        SystemExit: the program failed; the message has the end of its log.
    """
    if contender.again:
        field.stub.clear()
    else:
        field.stub.reset(count)
    stub_cpu = field.stub.stats()["cpu"]
    folder.mkdir()
    contest = _contest(field, contender, folder)
    path = folder / "contest.json"
    path.touch(mode=0o600)
    path.write_text(contest.model_dump_json())
    log = folder / "stderr.log"
    done = measure.run(
        _command(field, contender, path), env=_environment(field), log=log, timeout=_TIMEOUT_SECONDS
    )
    if done.code != 0:
        end = log.read_text(errors="replace")[-1500:]
        raise SystemExit(f"{contender.name} ended with {done.code}; the end of its log:\n{end}")
    stats = field.stub.stats()
    stats["cpu"] -= stub_cpu
    return _result(contender, count, done, stats)


def _contest(field: Field, contender: Contender, folder: Path) -> Contest:
    return Contest(
        api_url=field.stub.url,
        api_key="bench-key",
        atlas_id=ATLAS,
        s3_endpoint_url=field.access.endpoint_url,
        region=field.access.region,
        concurrency=contender.concurrency,
        verify=contender.verify,
        folder=folder,
    )


def _command(field: Field, contender: Contender, contest: Path) -> list[str]:
    if contender.vendor:
        program = [str(field.vendor_python), str(_PROGRAMS / f"{contender.program}.py")]
    else:
        program = [sys.executable, "-m", f"benchmarks.contestants.{contender.program}"]
    return [*field.under, *program, str(contest)]


def _environment(field: Field) -> dict[str, str]:
    return {
        **os.environ,
        "AWS_ENDPOINT_URL_S3": field.access.endpoint_url,
        "AWS_REGION": field.access.region,
        "AWS_DEFAULT_REGION": field.access.region,
        "PREFECT_API_URL": field.prefect_url,
        "PREFECT_HOME": str(field.folder / "prefect-client"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }


def _result(
    contender: Contender, count: int, done: measure.Measured, stats: dict[str, Any]
) -> Result:
    # A profiler may have the last word.
    own = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    calls = stats["calls"]
    seconds = own["ended_at"] - stats["first_call"]
    writes = calls.get("patch", 0)
    expected = 0 if contender.again else count
    return Result(
        name=contender.name,
        what=contender.what,
        n=count,
        seconds=seconds,
        process_seconds=done.ended_at - done.started_at,
        cpu_ms=own["cpu"] * 1000 / count,
        process_cpu_ms=done.cpu * 1000 / count,
        peak_mb=done.peak_mb,
        calls=calls,
        peak_in_flight=stats["peak_in_flight"],
        stub_load=stats["cpu"] / seconds,
        writes=writes,
        right=writes == expected and stats["unexpected"] == 0 and stats["versions"] == 2 * count,
    )
