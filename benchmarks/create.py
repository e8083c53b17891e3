"""Bulk creation with data files beside a bare loop of uploads and POSTs, in one run.

Both at the same concurrency, against a real ``polly-bulk serve`` with its S3 server. The bare loop
does nothing else: no existence check, no look into the file, no checksum, no record, no retry. The
clock runs from the first request to the last committed outcome. Then a few large files: what the
memory of a creation depends on. Figures of different runs must not be compared, ratios may.

    python -m benchmarks.create                       # 1,000 creates, three rounds
    python -m benchmarks.create --n 200 --rounds 1    # a quick look
    python -m benchmarks.create --json out.json --check
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import urllib3
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.surroundings import process
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import open_session
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.jsonvalue import Model
from polly_core.models.run import OperationName, RunOptions
from polly_core.models.selection import Selection
from polly_core.models.wire import (
    API_KEY_HEADER,
    CONTENT_TYPE,
    Document,
    SessionTokenAttributes,
)

TARGET_RATIO = 0.7
TARGET_GROWTH_MB = 64.0
COLUMNS = 40
LARGE = 4


class Job(Model):
    """What one contestant does, in a process of its own."""

    who: str
    api_url: str
    api_key: str
    atlas_id: str
    folder: Path
    manifest: Path
    concurrency: int


class Result(Model):
    """What came of it."""

    who: str
    seconds: float
    cpu: float
    """Seconds of the client's process."""
    peak_mb: float


def main() -> int:
    """Measure and print; 1 when ``--check`` and a target was missed."""
    arguments = _arguments()
    if arguments.job:
        print(_contest(Job.model_validate_json(arguments.job)).model_dump_json())
        return 0
    with tempfile.TemporaryDirectory(prefix="create-bench-") as name:
        folder = Path(name)
        manifest = _files(folder / "small", arguments.n, arguments.kb * 1024)
        sizes = [arguments.large_mb // 4, arguments.large_mb]
        large = [_files(folder / f"large{mb}", LARGE, mb * 1024 * 1024) for mb in sizes]
        atlases = [f"{who}{n}" for n in range(arguments.rounds) for who in ("bare", "ours")]
        spare = [f"large{mb}" for mb in sizes]
        with _served(folder, [*atlases, *spare], arguments.delay_ms) as (url, key):
            jobs = [
                Job(who=atlas.rstrip("0123456789"), api_url=url, api_key=key, atlas_id=atlas,
                    folder=folder / atlas, manifest=manifest, concurrency=arguments.concurrency)
                for atlas in atlases
            ]  # fmt: skip
            results = [_run(job) for job in jobs]
            memory = [
                _run(jobs[1].model_copy(update={"atlas_id": atlas, "manifest": where,
                                                "folder": folder / f"run-{atlas}"}))
                for atlas, where in zip(spare, large, strict=True)
            ]  # fmt: skip
    return _told(arguments, results, dict(zip(sizes, memory, strict=True)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.create", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--n", type=int, default=1000, help="datasets")
    parser.add_argument("--kb", type=int, default=256, help="size of each data file")
    parser.add_argument("--large-mb", type=int, default=256, help="of the larger of large files")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of every answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


# -- what is loaded and where -----------------------------------------------------------------


def _files(folder: Path, count: int, size: int) -> Path:
    """GCT files of about this size, each of another content, and their manifest."""
    folder.mkdir()
    samples = [f"s{n}" for n in range(COLUMNS)]
    line = "\t".join(f"{n}.123456" for n in range(COLUMNS))
    rows = max(1, size // (len(line) + 16))
    body = "".join(f"g{row}\tna\t{line}\n" for row in range(rows))
    with (folder / "manifest.jsonl").open("w") as manifest:
        for number in range(count):
            name = f"D{number:05}"
            head = f"#1.2\n{rows}\t{COLUMNS}\nName\tDescription\t" + "\t".join(samples)
            # One row more than the body's names: the first one tells the files apart.
            own = body.replace("na", f"n{number}", 1)
            (folder / f"{name}.gct").write_text(f"{head}\n{own}")
            row = {
                "dataset_id": name,
                "data_type": "Bulk RNAseq",
                "data": f"{name}.gct",
                "metadata": {"n": number, "organism": "human", "sample_ids": samples},
            }
            manifest.write(json.dumps(row) + "\n")
    return folder / "manifest.jsonl"


@contextmanager
def _served(folder: Path, atlases: list[str], delay_ms: float) -> Iterator[tuple[str, str]]:
    program = [sys.executable, "-c", "from cli.main import main; main()", "serve"]
    flags = [f"--atlas={atlas}" for atlas in atlases]
    flags += ["--delay-ms", str(delay_ms)] if delay_ms else []
    log = folder / "serve.log"
    with process([*program, "--data", str(folder / "data"), *flags], log) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise SystemExit(f"serve did not start:\n{log.read_text()[-2000:]}")
        said = json.loads(line)
        yield said["api_url"], said["api_key"]


# -- the contestants --------------------------------------------------------------------------


def _run(job: Job) -> Result:
    job.folder.mkdir()
    print(f"{job.who}, atlas {job.atlas_id}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.create", "--job", job.model_dump_json()]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{job.who} failed:\n{found.stderr[-3000:]}")
    return Result.model_validate_json(found.stdout)


def _contest(job: Job) -> Result:
    seconds = {"bare": _bare, "ours": _ours}[job.who](job)
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return Result(
        who=job.who,
        seconds=seconds,
        cpu=used.ru_utime + used.ru_stime,
        peak_mb=int(peak.split()[1]) / 1024,
    )


def _bare(job: Job) -> float:
    """PUT and POST, as many threads as allowed; clients are made before the clock runs."""
    from boto3.session import Session
    from botocore.config import Config

    pool = urllib3.PoolManager(maxsize=job.concurrency, block=True, retries=False, timeout=60.0)
    headers = {API_KEY_HEADER: job.api_key, "Content-Type": CONTENT_TYPE}

    def call(link: str, document: object) -> bytes:
        body = json.dumps(document).encode()
        answer = pool.request("POST", job.api_url + link, body=body, headers=headers)
        if answer.status >= 300:
            raise SystemExit(f"POST {link}: {answer.status} {answer.data[:300]!r}")
        return answer.data

    wanted = {"omixatlas_id": job.atlas_id, "copy_dest_omixatlas_id": None}
    answer = call("/session-tokens", {"data": {"type": "session-tokens", "attributes": wanted}})
    granted = Document[SessionTokenAttributes].model_validate_json(answer).data.attributes
    client = Session().client(
        "s3",
        endpoint_url=granted.endpoint_url,
        region_name=granted.region,
        aws_access_key_id=granted.tokens.AccessKeyId,
        aws_secret_access_key=granted.tokens.SecretAccessKey,
        aws_session_token=granted.tokens.SessionToken,
        config=Config(max_pool_connections=job.concurrency),
    )
    link = f"/repositories/{job.atlas_id}/datasets"

    def create(line: str) -> None:
        row = json.loads(line)
        name = row["dataset_id"]
        key = f"{granted.prefix}/v2/{name}/{name}.gct"
        body = (job.manifest.parent / row["data"]).read_bytes()
        made = client.put_object(Bucket=granted.bucket_name, Key=key, Body=body)
        uri = f"s3://{granted.bucket_name}/{key}?versionId={made['VersionId']}"
        attributes = {
            "data_type": row["data_type"], "metadata": row["metadata"],
            "data_s3_uri": uri, "data_format": "gct",
        }  # fmt: skip
        call(link, {"data": {"type": "datasets", "id": name, "attributes": attributes}, "meta": {}})

    lines = job.manifest.read_text().splitlines()
    began = time.monotonic()
    with ThreadPoolExecutor(job.concurrency) as threads:
        for future in [threads.submit(create, line) for line in lines]:
            future.result()
    return time.monotonic() - began


def _ours(job: Job) -> float:
    """A run of the engine: frozen, planned shard by shard, written, recorded."""
    request = RunRequest(
        run_id=RunId(str(uuid4())),
        atlas_id=AtlasId(job.atlas_id),
        operation=OperationName.CREATE,
        change={},
        selection=Selection(manifest_uri=str(job.manifest)),
        options=RunOptions(concurrency=job.concurrency),
    )
    surroundings = Surroundings(
        api_url=job.api_url,
        api_key=SecretStr(job.api_key),
        ledger_url=f"sqlite:///{job.folder / 'ledger.db'}",
        home=job.folder,
    )
    began = time.monotonic()
    with open_session(request, surroundings) as session:
        session.freeze()
        # Two in flight, as the flow has them.
        with ThreadPoolExecutor(2) as shards:
            for future in [shards.submit(session.run_shard, n) for n in session.open_shards()]:
                future.result()
        seconds = time.monotonic() - began
        summary = session.finish()
    if summary.exit_code:
        raise SystemExit(f"not every dataset was created: {summary.counts}")
    return seconds


# -- what is said of it -----------------------------------------------------------------------


def _told(arguments: argparse.Namespace, results: list[Result], memory: dict[int, Result]) -> int:
    middle = {
        who: statistics.median(each.seconds for each in results if each.who == who)
        for who in ("bare", "ours")
    }
    ratio = middle["bare"] / middle["ours"]
    growth = max(each.peak_mb for each in memory.values()) - min(
        each.peak_mb for each in memory.values()
    )
    table = Table(
        title=f"{arguments.n} creates of {arguments.kb} KiB, {arguments.concurrency} at once"
    )
    for head in ("", "seconds", "client CPU s", "peak MB"):
        table.add_column(head)
    for each in results:
        table.add_row(each.who, f"{each.seconds:.2f}", f"{each.cpu:.2f}", f"{each.peak_mb:.0f}")
    for mb, each in memory.items():
        name = f"ours, {LARGE} x {mb} MB"
        table.add_row(name, f"{each.seconds:.2f}", f"{each.cpu:.2f}", f"{each.peak_mb:.0f}")
    console = Console()
    console.print(table)
    console.print(f"speed: {ratio:.2f} of the bare loop (target {TARGET_RATIO}, medians)")
    console.print(f"memory: {growth:.0f} MB more for files 4 times as large "
                  f"(target {TARGET_GROWTH_MB:.0f})")  # fmt: skip
    if arguments.json is not None:
        found = {
            "n": arguments.n, "kb": arguments.kb, "delay_ms": arguments.delay_ms,
            "concurrency": arguments.concurrency, "cpus": os.cpu_count(), "ratio": ratio,
            "results": [each.model_dump() for each in results],
            "memory": {mb: each.model_dump() for mb, each in memory.items()},
        }  # fmt: skip
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    met = ratio >= TARGET_RATIO and growth <= TARGET_GROWTH_MB
    return int(arguments.check and not met)


if __name__ == "__main__":
    sys.exit(main())
