"""A gigabyte copied from one atlas to another: how much of it passes through the client.

Contenders, each in a process of its own, on one self-hosted atlas with its real S3 server: this
project's bulk copy; a loop that downloads and uploads; and the same server-side copies alone, one
after the other, without catalog and record. Every connection of the client goes through a
forwarder that counts its bytes, so that nothing can be received unseen. Small runs of the same
contender tell whether its memory grows with the size of the objects.

    python -m benchmarks.copy
    python -m benchmarks.copy --megabytes 64        # a quick look
    python -m benchmarks.copy --json out.json --check
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from benchmarks.measure import run
from benchmarks.tap import tap
from polly_core.catalog.connect import Connected, Connection, connect
from polly_core.catalog.ports import ObjectKey
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.session import open_session
from polly_core.models.catalog import AtlasId, DatasetId, NewDataset, NewFile, RunId, WriteStamp
from polly_core.models.jsonvalue import Model
from polly_core.models.run import OperationName, RunOptions
from polly_core.server.launcher import Atlas, AtlasConfig, AtlasSpec

MB = 1_000_000
CONTENDERS = ("polly-bulk", "download and upload", "objects alone")
SMALL = 1
MOST_RECEIVED = 0.001
"""Of the bytes copied, beside what the calls themselves weigh."""
CALLS_WEIGH = 100_000
MOST_GROWTH_MB = 32
STAMP = WriteStamp(run_id=RunId("99999999-9999-4999-8999-999999999999"))


class Where(Model):
    """What a contender is told: the service as it reaches it, and where to copy what."""

    api_url: str
    s3_endpoint_url: str
    api_key: str
    source: str
    target: str
    folder: Path


class Figure(Model):
    """One contender at one size."""

    contender: str
    megabytes: int
    seconds: float
    """Of the copying alone, without the start of the process."""
    received: int
    sent: int
    cpu: float
    peak_mb: float


def main() -> int:
    """Fill a source for each size, run every contender, print; 1 where a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("CONTENDER", "WHERE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, where = options.one
        print(_contend(name, Where.model_validate_json(where)))
        return 0
    with tempfile.TemporaryDirectory(prefix="polly-bench-") as folder:
        figures = list(_contest(Path(folder), options.megabytes))
    _print(figures)
    if options.json:
        options.json.write_text(json.dumps([one.model_dump() for one in figures], indent=1))
    problems = list(_problems(figures))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if options.check and problems else 0


# -- the contest -----------------------------------------------------------------------------


def _contest(folder: Path, megabytes: int) -> Iterator[Figure]:
    sizes = (SMALL, megabytes)
    names = [f"{kind}-{size}-{n}" for size in sizes for n, kind in enumerate(["to"] * 3)]
    specs = tuple(AtlasSpec(atlas_id=AtlasId(name)) for name in [*map(_source, sizes), *names])
    with Atlas(AtlasConfig(data_dir=folder / "atlas", atlases=specs)) as atlas:
        for size in sizes:
            key = atlas.api_key.get_secret_value()
            where = Where(
                api_url=atlas.api_url,
                s3_endpoint_url=atlas.s3_endpoint_url,
                api_key=key,
                source=_source(size),
                target="",
                folder=folder,
            )
            _fill(where, size)
            for n, contender in enumerate(CONTENDERS):
                target = where.model_copy(update={"target": f"to-{size}-{n}"})
                yield _measured(contender, target, size, folder / f"{size}-{n}")


def _source(size: int) -> str:
    return f"from-{size}"


def _measured(contender: str, where: Where, size: int, folder: Path) -> Figure:
    folder.mkdir()
    with tap(where.api_url) as api, tap(where.s3_endpoint_url) as store:
        told = where.model_copy(
            update={"api_url": api.url, "s3_endpoint_url": store.url, "folder": folder}
        )
        command = [sys.executable, "-m", "benchmarks.copy", "--one", contender]
        found = run(
            [*command, told.model_dump_json()],
            env=dict(os.environ),
            log=folder / "log",
            timeout=1800,
        )
        if found.code:
            raise SystemExit(f"{contender} failed:\n{(folder / 'log').read_text()[-2000:]}")
        received, sent = api.received + store.received, api.sent + store.sent
    _check_copied(where)
    return Figure(
        contender=contender,
        megabytes=size,
        seconds=float(found.stdout),
        received=received,
        sent=sent,
        cpu=found.cpu,
        peak_mb=found.peak_mb,
    )


def _fill(where: Where, megabytes: int) -> None:
    """Half of it in one dataset's data, a quarter in a file of it, the rest in two datasets."""
    path = where.folder / "content"
    with _connected(where, where.source) as client:
        for n, share in enumerate((4, 1, 1)):
            dataset_id = DatasetId(f"D{n}")
            _write(path, megabytes * MB * share // 8, seed=n)
            key = ObjectKey(dataset_id, extension=".gct")
            new = NewDataset(
                data_type="Bulk RNAseq",
                metadata={"n": n},
                data_s3_uri=client.store.upload(path, key),
                data_format="gct",
            )
            made = client.writer.create(dataset_id, new, STAMP)
            if n == 0:
                _write(path, megabytes * MB // 4, seed=9)
                location = client.store.upload(path, ObjectKey(dataset_id, file_name="big.txt"))
                file = NewFile(
                    file_name="big.txt",
                    file_s3_uri=location,
                    file_format="txt",
                    source_version_id=made.version_id,
                )
                client.writer.attach(dataset_id, file)
    path.unlink()


def _write(path: Path, size: int, *, seed: int) -> None:
    source = random.Random(seed)
    with path.open("wb") as file:
        while (left := size - file.tell()) > 0:
            file.write(source.randbytes(min(left, 8 * MB)))


def _check_copied(where: Where) -> None:
    """Every object is there in its size, whoever copied it."""
    with _connected(where, where.source) as source, _connected(where, where.target) as target:
        for key, location in _objects(source):
            expected = source.reader.stat(location).size
            name = key.file_name or f"{key.dataset_id}{key.extension}"
            folder = f"{key.dataset_id}/.sfiles" if key.file_name else key.dataset_id
            bucket = location.split("/")[2]
            there = f"s3://{bucket}/{where.target}/v2/{folder}/{name}"
            found = target.reader.stat(there).size
            if found != expected:
                raise SystemExit(f"{there}: {found} bytes, expected {expected}")


# -- contenders ------------------------------------------------------------------------------


def _contend(name: str, where: Where) -> float:
    """Copy everything; the seconds it took."""
    work = {"polly-bulk": _ours, "download and upload": _through, "objects alone": _alone}[name]
    begun = time.monotonic()
    work(where)
    return time.monotonic() - begun


def _ours(where: Where) -> None:
    request = RunRequest(
        run_id=RunId(str(uuid4())),
        atlas_id=AtlasId(where.target),
        operation=OperationName.COPY,
        change={"from_atlas": where.source},
        options=RunOptions(concurrency=8),
    )
    surroundings = Surroundings(
        api_url=where.api_url,
        api_key=SecretStr(where.api_key),
        s3_endpoint_url=where.s3_endpoint_url,
        ledger_url=f"sqlite:///{where.folder / 'ledger.db'}",
        home=where.folder,
    )
    with open_session(request, surroundings) as session:
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
        summary = session.finish()
    if summary.exit_code:
        raise SystemExit(f"the run ended with {summary.counts}")


def _through(where: Where) -> None:
    """What one does without a server-side copy."""
    with _connected(where, where.source) as source, _connected(where, where.target) as target:
        for key, location in _objects(source):
            path = where.folder / "object"
            source.reader.download(location, path)
            target.store.upload(path, key)


def _alone(where: Where) -> None:
    """Nothing but the objects: the destination's catalog hears of nothing."""
    with _connected(where, where.source) as source, _connected(where, where.target) as target:
        for key, location in _objects(source):
            target.store.copy(location, key, atlas_id=AtlasId(where.source))


def _objects(client: Connected) -> Iterator[tuple[ObjectKey, str]]:
    for record in client.reader.datasets():
        yield ObjectKey(record.dataset_id, extension=".gct"), record.data_location
        for file in client.reader.files(record.dataset_id):
            yield ObjectKey(record.dataset_id, file_name=file.file_name), file.file_location


@contextmanager
def _connected(where: Where, atlas_id: str) -> Iterator[Connected]:
    client = connect(
        Connection(
            api_url=where.api_url,
            api_key=SecretStr(where.api_key),
            atlas_id=AtlasId(atlas_id),
            s3_endpoint_url=where.s3_endpoint_url,
        )
    )
    try:
        yield client
    finally:
        client.close()


# -- what it came to ---------------------------------------------------------------------------


def _problems(figures: list[Figure]) -> Iterator[str]:
    small, large = (one for one in figures if one.contender == CONTENDERS[0])
    allowed = CALLS_WEIGH + large.megabytes * MB * MOST_RECEIVED
    if large.received > allowed:
        yield f"{large.received:,} bytes came to the client, expected at most {allowed:,.0f}"
    growth = large.peak_mb - small.peak_mb
    if growth > MOST_GROWTH_MB:
        yield f"peak memory grew by {growth:.0f} MB, expected {MOST_GROWTH_MB} at most"


def _print(figures: list[Figure]) -> None:
    table = Table(
        "contender", "copied MB", "seconds", "MB/s", "received", "sent", "CPU s", "peak MB"
    )
    for one in figures:
        table.add_row(
            one.contender,
            f"{one.megabytes:,}",
            f"{one.seconds:.2f}",
            f"{one.megabytes / one.seconds:,.0f}",
            f"{one.received:,}",
            f"{one.sent:,}",
            f"{one.cpu:.2f}",
            f"{one.peak_mb:.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
