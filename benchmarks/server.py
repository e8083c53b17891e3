"""How fast the self-hosted atlas is: ``polly-bulk serve`` with its real S3 server, over loopback.

Metadata PATCHes per second (every one stores an object in S3 and waits for the disk; beside them
what the S3 server alone takes of the same objects), dataset rows listed per second, and what a
page costs at the end of a listing of 100,000 compared with one at its beginning.

    python -m benchmarks.server
    python -m benchmarks.server --datasets 10000 --seconds 2     # a quick look
    python -m benchmarks.server --json out.json --check
"""

import argparse
import gzip
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.store import S3Store
from rich.console import Console
from rich.table import Table

from benchmarks.surroundings import process, synthetic_metadata
from polly_core.models.catalog import (
    AtlasId,
    DatasetId,
    DatasetRecord,
    VersionId,
    VersionRecord,
)
from polly_core.models.jsonvalue import Model
from polly_core.models.wire import (
    API_KEY_HEADER,
    CONTENT_TYPE,
    Document,
    SessionTokenAttributes,
)
from polly_core.server import store_catalog as sql
from polly_core.server.data_folder import DataFolder
from polly_core.server.store import Store

PATCHED, LISTED = AtlasId("patched"), AtlasId("listed")
PATCHED_DATASETS = 1000
SINGLE_PAGES = 40


class Figure(Model):
    """One figure beside its target."""

    what: str
    found: float
    target: float | None = None
    at_least: bool = True
    server_cpu_ms: float | None = None
    """Of the server's own process, for each request."""

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.found >= self.target if self.at_least else self.found <= self.target


class Served(Model):
    """A running server, as its JSON line describes it."""

    api_url: str
    api_key: str
    pid: int

    def connection(self) -> http.client.HTTPConnection:
        """A connection that is kept open."""
        return http.client.HTTPConnection(urlsplit(self.api_url).netloc, timeout=60)

    def call(
        self, at: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
    ) -> bytes:
        """One request; anything but success ends the benchmark."""
        headers = {API_KEY_HEADER: self.api_key, "Content-Type": CONTENT_TYPE}
        at.request(method, path, body, headers)
        answer = at.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def cpu_seconds(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure and print; 1 when ``--check`` and a target was missed."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="server-bench-") as folder:
        data = Path(folder) / "data"
        with _served(data, Path(folder) / "serve.log") as server:
            _seed(DataFolder(data).database, PATCHED, PATCHED_DATASETS)
            _seed(DataFolder(data).database, LISTED, arguments.datasets)
            figures = [
                _bare_puts(server, arguments.clients, arguments.seconds),
                _patches(server, arguments.clients, arguments.seconds),
                _rows(server, arguments.clients, arguments.seconds),
                _far_pages(server, arguments.datasets),
            ]
    _print(figures)
    if arguments.json is not None:
        found = [{**each.model_dump(), "met": each.met} for each in figures]
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(arguments.check and not all(each.met for each in figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.server", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--datasets", type=int, default=100_000, help="in the listed atlas")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10, help="for each rate")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    return parser.parse_args()


@contextmanager
def _served(data: Path, log: Path) -> Iterator[Served]:
    program = [sys.executable, "-c", "from cli.main import main; main()", "serve"]
    atlases = [f"--atlas={atlas}" for atlas in (PATCHED, LISTED)]
    with process([*program, "--data", str(data), *atlases], log) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise SystemExit(f"serve did not start:\n{log.read_text()[-2000:]}")
        said = json.loads(line)
        yield Served(api_url=said["api_url"], api_key=said["api_key"], pid=said["pid"])


def _seed(database: Path, atlas: AtlasId, count: int) -> None:
    """Datasets straight into the database: what is measured is serving them."""
    store = Store.open(database)
    try:
        with store.write() as connection:
            for number in range(count):
                record = _record(atlas, number)
                version = VersionRecord(
                    **record.model_dump(exclude={"study_id", "last_modified_at", "created_at"}),
                    created_at=record.last_modified_at,
                )
                sql.insert_dataset(connection, atlas, record)
                sql.insert_version(connection, atlas, version, sql.Place(1, 1))
    finally:
        store.close()


def _record(atlas: AtlasId, number: int) -> DatasetRecord:
    name = _name(number)
    version = f"{atlas}-{number:032d}"
    return DatasetRecord(
        dataset_id=DatasetId(name),
        version_id=VersionId(version),
        data_type="Bulk RNAseq",
        data_format="gct",
        data_location=f"s3://catalog/{atlas}/v2/{name}/{name}.gct?versionId={number:032x}",
        metadata_location=f"s3://catalog/{atlas}/v2/{name}/.metadata/{version}.json.gz"
        f"?versionId={number:032x}",
        study_id=None,
        last_modified_at=1_790_000_000_000,
        created_at=1_790_000_000_000,
    )


def _name(number: int) -> str:
    return f"GSE{number:07d}"


def _patches(server: Served, clients: int, seconds: float) -> Figure:
    bodies = [_patch(number) for number in range(PATCHED_DATASETS)]

    def patch(at: http.client.HTTPConnection, worker: int, turn: int) -> int:
        number = (worker + turn * clients) % PATCHED_DATASETS
        path = f"/repositories/{PATCHED}/datasets/{_name(number)}"
        server.call(at, "PATCH", path, bodies[number])
        return 1

    rate, cpu = _rate(server, clients, seconds, patch)
    return Figure(
        what="metadata PATCHes per second",
        found=rate,
        target=300,
        at_least=True,
        server_cpu_ms=cpu,
    )


def _bare_puts(server: Served, clients: int, seconds: float) -> Figure:
    store = _object_store(server)
    objects = [
        gzip.compress(json.dumps(synthetic_metadata(n)).encode()) for n in range(PATCHED_DATASETS)
    ]

    def put(_: http.client.HTTPConnection, worker: int, turn: int) -> int:
        number = (worker + turn * clients) % PATCHED_DATASETS
        key = f"{PATCHED}/v2/{_name(number)}/bare/{worker}-{turn}.json.gz"
        obstore.put(store, key, objects[number], use_multipart=False)
        return 1

    rate, _ = _rate(server, clients, seconds, put)
    return Figure(what="the same objects put into S3 alone, per second", found=rate)


def _object_store(server: Served) -> S3Store:
    body = {"data": {"type": "session-tokens", "attributes": {"omixatlas_id": PATCHED}}}
    with closing(server.connection()) as at:
        answer = server.call(at, "POST", "/session-tokens", json.dumps(body).encode())
    granted = Document[SessionTokenAttributes].model_validate_json(answer).data.attributes
    assert granted.endpoint_url is not None
    return S3Store(
        granted.bucket_name,
        endpoint=granted.endpoint_url,
        region=granted.region or "us-east-1",
        access_key_id=granted.tokens.AccessKeyId,
        secret_access_key=granted.tokens.SecretAccessKey,
        session_token=granted.tokens.SessionToken,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def _patch(number: int) -> bytes:
    attributes = {"metadata": synthetic_metadata(number)}
    data = {"type": "datasets", "id": _name(number), "attributes": attributes}
    return json.dumps({"data": data, "meta": {"ingestion_params": None}}).encode()


def _rows(server: Served, clients: int, seconds: float) -> Figure:
    links: list[str | None] = [None] * clients

    def page(at: http.client.HTTPConnection, worker: int, _: int) -> int:
        path = links[worker] or f"/repositories/{LISTED}/datasets"
        document = json.loads(server.call(at, "GET", path))
        links[worker] = document["links"]["next"]
        return len(document["data"])

    rate, cpu = _rate(server, clients, seconds, page)
    return Figure(
        what="dataset rows listed per second",
        found=rate,
        target=8000,
        at_least=True,
        server_cpu_ms=cpu,
    )


def _rate(
    server: Served,
    clients: int,
    seconds: float,
    work: Callable[[http.client.HTTPConnection, int, int], int],
) -> tuple[float, float]:
    """Units of work per second with so many clients, and the server's CPU ms for each request."""
    done, calls = [0] * clients, [0] * clients
    errors: list[BaseException] = []
    ready = threading.Barrier(clients + 1)
    stop = threading.Event()

    def client(worker: int) -> None:
        try:
            with closing(server.connection()) as at:
                work(at, worker, 0)
                ready.wait()
                while not stop.is_set():
                    calls[worker] += 1
                    done[worker] += work(at, worker, calls[worker])
        except BaseException as error:
            errors.append(error)
            ready.abort()
            raise

    threads = [threading.Thread(target=client, args=(worker,)) for worker in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    started, cpu = time.perf_counter(), server.cpu_seconds()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    elapsed, cpu = time.perf_counter() - started, server.cpu_seconds() - cpu
    if errors:
        raise errors[0]
    return sum(done) / elapsed, cpu / sum(calls) * 1000


def _far_pages(server: Served, datasets: int) -> Figure:
    """Pages at the beginning and at the end, one after the other, in turns."""
    near = f"/repositories/{LISTED}/datasets?page[size]=100"
    with closing(server.connection()) as at:
        far = _link_near_the_end(server, at, datasets)
        costs: dict[str, list[float]] = {near: [], far: []}
        for _ in range(SINGLE_PAGES):
            for path, taken in costs.items():
                started = time.perf_counter()
                found = len(json.loads(server.call(at, "GET", path))["data"])
                taken.append(time.perf_counter() - started)
                assert found == 100, f"{path} has {found} rows"
    return Figure(
        what=f"a page near row {datasets:,} / the first page",
        found=statistics.median(costs[far]) / statistics.median(costs[near]),
        target=1.25,
        at_least=False,
    )


def _link_near_the_end(server: Served, at: http.client.HTTPConnection, datasets: int) -> str:
    """A link as the listing gives it, reached by following the largest pages."""
    link, seen = f"/repositories/{LISTED}/datasets?page[size]=1000", 0
    while datasets - seen > 1000:
        document = json.loads(server.call(at, "GET", link))
        seen += len(document["data"])
        link = document["links"]["next"]
    return link.replace("page[size]=1000", "page[size]=100")


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    sign, mark = "≥" if figure.at_least else "≤", "✓" if figure.met else "✗"
    return f"{sign} {figure.target:,g} {mark}"


def _print(figures: list[Figure]) -> None:
    table = Table("figure", "found", "target", "found / target", "server CPU ms per request")
    for each in figures:
        table.add_row(
            each.what,
            f"{each.found:,.2f}" if each.found < 10 else f"{each.found:,.0f}",
            _target(each),
            "" if each.target is None else f"{each.found / each.target:.2f}",
            "" if each.server_cpu_ms is None else f"{each.server_cpu_ms:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
