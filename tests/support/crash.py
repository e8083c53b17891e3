"""Writers that note what was acknowledged, and the check that nothing of it was lost."""

import gzip
import itertools
import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import urllib3

from polly_core.server.s3 import s3_client
from tests.support.atlas import RunningAtlas
from tests.support.objects import download, store_access, upload
from tests.support.wire import WireCaller

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def check_everything_resolves(caller: WireCaller, client: "S3Client", atlas_id: str) -> None:
    """Every listed dataset is whole: data and metadata of all its versions can be read."""
    for item in caller.listing(atlas_id):
        check_whole(caller, client, atlas_id, item)


def check_whole(caller: WireCaller, client: "S3Client", atlas_id: str, item: Any) -> None:
    """A listed dataset stands at its newest version, and every version can be read."""
    path = f"/repositories/{atlas_id}/datasets/{item['id']}/versions"
    versions = caller.call("GET", path).document["data"]
    assert item["attributes"]["version_id"] == versions[0]["id"]
    for version in versions:
        json.loads(gzip.decompress(download(client, version["attributes"]["metadata_location"])))
        download(client, version["attributes"]["data_location"])


class CrashWriters:
    """Threads that create and update datasets of their own until the server is killed."""

    def __init__(self, server: RunningAtlas, atlas_id: str, *, count: int) -> None:
        self._server = server
        self._atlas_id = atlas_id
        self._count = count
        self._numbers = itertools.count(1)
        self._sent: dict[str, list[int]] = {}
        self._answered: dict[str, list[int]] = {}
        self._client = s3_client(store_access(server.data_dir))
        self._uri = upload(self._client, f"{atlas_id}/v2/shared/shared.gct")
        self._checked: set[str] = set()
        self._unexpected: list[bytes] = []

    @property
    def acknowledged(self) -> int:
        """How many writes were answered well."""
        return sum(map(len, self._answered.values()))

    def run_until_killed(self, *, after: float) -> None:
        """Write, and kill -9 the server so many seconds after the first answers."""
        threads = [threading.Thread(target=self._write) for _ in range(self._count)]
        before = self.acknowledged
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while self.acknowledged < before + self._count and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(after)
        self._server.kill()
        for thread in threads:
            thread.join()
        assert self.acknowledged >= before + self._count, "the writers did not get going"
        assert self._unexpected == []

    def check(self, *, everything: bool = False) -> None:
        """Nothing acknowledged is lost, nothing is half-written, nothing appeared from nowhere.

        What earlier checks have read is not read again unless ``everything`` is asked for.
        """
        caller = WireCaller(self._server.api_url, self._server.api_key)
        listed = {item["id"]: item for item in caller.listing(self._atlas_id)}
        assert {name for name, answered in self._answered.items() if answered} <= set(listed)
        assert set(listed) <= set(self._sent)
        for name in set(listed) - (set() if everything else self._checked):
            check_whole(caller, self._client, self._atlas_id, listed[name])
            self._check_newest(name, listed[name]["attributes"]["metadata_location"])
            self._checked.add(name)
        caller.close()

    def _check_newest(self, name: str, metadata_location: str) -> None:
        number = json.loads(gzip.decompress(download(self._client, metadata_location)))["number"]
        last = self._answered[name][-1] if self._answered[name] else 0
        # What was sent last may have happened without an answer; nothing older may stand.
        assert number in [sent for sent in self._sent[name] if sent >= last]

    def _write(self) -> None:
        caller = WireCaller(self._server.api_url, self._server.api_key)
        try:
            while True:
                self._write_one(caller)
        except urllib3.exceptions.HTTPError:
            return
        finally:
            caller.close()

    def _write_one(self, caller: WireCaller) -> None:
        name = f"d{next(self._numbers)}"
        self._sent[name], self._answered[name] = [], []
        for _ in range(random.randint(1, 5)):
            number = next(self._numbers)
            metadata: dict[str, Any] = {"number": number, "text": "x" * random.randint(0, 4000)}
            created = bool(self._sent[name])
            self._sent[name].append(number)
            answer = (
                caller.update(self._atlas_id, name, metadata)
                if created
                else caller.create(self._atlas_id, name, self._uri, metadata)
            )
            if answer.status not in (200, 201):
                # Its S3 server dies with it and may be gone a moment earlier.
                if answer.status != 503:
                    self._unexpected.append(answer.body)
                raise urllib3.exceptions.HTTPError(answer.status)
            self._answered[name].append(number)
