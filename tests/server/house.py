"""Builds the application with objects in memory, a clock that is set, and some keys."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from polly_core.server.app import create_app
from polly_core.server.auth import Access, AccessControl
from polly_core.server.config import ServerSettings
from polly_core.server.rehearsal import Faults, Rehearsal
from polly_core.server.store import Store
from tests.server.fakes import MemoryBlobs, MemoryIssuer
from tests.server.inprocess import Answer, Caller

START_MS = 1_790_000_000_000
R9 = "/repositories/9"
R17 = "/repositories/17"


class TestHouse:
    """One server in the process. The clock stands still until ``clock.now`` is changed."""

    __test__ = False

    def __init__(self, path: Path, settings: ServerSettings | None = None) -> None:
        self.now = START_MS
        self.monotonic = 0.0
        self.chances: Iterator[float] = itertools.repeat(0.5)
        self.store = Store.open(path, new_id=lambda: "00000000-0000-4000-8000-000000000000")
        self.blobs = MemoryBlobs()
        self.issuer = MemoryIssuer()
        self.rehearsal = Rehearsal(
            chance=lambda: next(self.chances), monotonic=lambda: self.monotonic
        )
        self.access = AccessControl(
            self.store, now_ms=lambda: self.now, monotonic=lambda: self.monotonic
        )
        for atlas in ("9", "17", "hidden"):
            self.access.add_atlas(atlas)
        self.app = create_app(
            settings,
            store=self.store,
            blobs=self.blobs,
            issuer=self.issuer,
            access=self.access,
            rehearsal=self.rehearsal,
            clock=lambda: self.now,
        )
        self.writer = self.caller({"9": Access.WRITE, "17": Access.WRITE}, "writer")
        self.reader = self.caller({"9": Access.READ, "17": Access.READ}, "reader")
        self.copier = self.caller({"9": Access.READ, "17": Access.WRITE}, "copier")
        self.stranger = Caller(self.app, None)

    def caller(self, grants: dict[str, Access], name: str) -> Caller:
        """Someone with a key of their own, the same for each name."""
        key = f"{name}-{'x' * 32}"
        self.access.create_key(grants, key=SecretStr(key))
        return Caller(self.app, key)

    def suffer(self, **faults: Any) -> None:
        """Let something be wrong from now on."""
        self.rehearsal.set(Faults(**faults))

    def data(self, dataset: str, *, atlas: str = "9", content: bytes = b"data") -> str:
        """Upload a data object; answers its pinned URI."""
        return self.blobs.upload(f"{atlas}/v2/{dataset}/{dataset}.gct", content)

    def create(
        self, dataset: str, *, atlas: str = "9", meta: object = None, **attributes: Any
    ) -> Answer:
        """Create a dataset, with plain attributes where none are given."""
        given = {
            "data_type": "Bulk RNAseq",
            "data_format": "gct",
            "metadata": {"organism": "Homo sapiens"},
            **attributes,
        }
        if "data_s3_uri" not in given:
            given["data_s3_uri"] = self.data(dataset, atlas=atlas)
        return self.writer.post(
            f"/repositories/{atlas}/datasets", envelope(dataset, given, meta=meta)
        )

    def update(
        self, dataset: str, *, atlas: str = "9", meta: object = None, **attributes: Any
    ) -> Answer:
        """Change a dataset."""
        return self.writer.patch(
            f"/repositories/{atlas}/datasets/{dataset}", envelope(dataset, attributes, meta=meta)
        )

    def attach(self, dataset: str, name: str, *, atlas: str = "9", **attributes: Any) -> Answer:
        """Attach a file, uploading one where no URI is given."""
        given = {
            "file_name": name,
            "file_format": "csv",
            "tag": None,
            "source_version_id": None,
            **attributes,
        }
        if "file_s3_uri" not in given:
            given["file_s3_uri"] = self.blobs.upload(f"{atlas}/v2/{dataset}/.sfiles/{name}")
        body = {"data": {"type": "supplementary_files", "attributes": given}}
        return self.writer.post(
            f"/repositories/{atlas}/datasets/{dataset}/supplementary_files", body
        )


def envelope(dataset: object, attributes: object, *, meta: object = None) -> dict[str, object]:
    """A request document as the official client sends it."""
    return {
        "data": {"type": "datasets", "id": dataset, "attributes": attributes},
        "meta": {"ingestion_params": None} if meta is None else meta,
    }
