"""The requests of an update with nothing around them: the limit, and the mapped task's body."""

import gzip
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import obstore
import urllib3
from obstore.store import S3Store

from benchmarks.contestants.contest import Contest
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import API_KEY_HEADER, CONTENT_TYPE, MAX_PAGE_SIZE

if TYPE_CHECKING:
    # Only its type stubs have it.
    from obstore.store import S3Config


class Requests:
    """Lists, reads and patches. Thread-safe."""

    def __init__(self, contest: Contest) -> None:
        self._contest = contest
        self._pool = urllib3.PoolManager(
            maxsize=contest.concurrency, block=True, retries=False, timeout=60.0
        )
        self._headers = {API_KEY_HEADER: contest.api_key, "Content-Type": CONTENT_TYPE}
        self._datasets = f"/repositories/{contest.atlas_id}/datasets"
        self._store = self._object_store()

    def list(self) -> Iterator[tuple[str, str, str]]:
        """Id, version and metadata location of every dataset."""
        link: str | None = f"{self._datasets}?page[size]={MAX_PAGE_SIZE}"
        while link is not None:
            page = self._call("GET", link)
            for each in page["data"]:
                found = each["attributes"]
                yield each["id"], found["version_id"], found["metadata_location"]
            link = page["links"]["next"]

    def update(self, dataset_id: str, version_id: str, location: str) -> None:
        """Read the metadata, set the contest's field, patch; verify where the contest says so."""
        metadata = self._metadata(location)
        metadata["new_field"] = "foobar"
        link = f"{self._datasets}/{dataset_id}"
        answer = self._call("PATCH", link, self._patch(dataset_id, metadata))
        ours = answer["data"]["attributes"]["version_id"]
        if self._contest.verify:
            history = self._call("GET", f"{link}/versions?include_deleted=False")
            ids = [version["id"] for version in history["data"]]
            if ids.index(ours) + 1 != ids.index(version_id):
                raise SystemExit(f"{dataset_id}: a foreign version after {version_id}")

    def _patch(self, dataset_id: str, metadata: JsonObject) -> bytes:
        data = {"type": "datasets", "id": dataset_id, "attributes": {"metadata": metadata}}
        meta = {"ingestion_params": {"ingestion_run_id": "limit"}}
        return json.dumps({"data": data, "meta": meta}).encode()

    def _metadata(self, location: str) -> dict[str, Any]:
        parts = urlsplit(location)
        version = parse_qs(parts.query)["versionId"][0]
        key = unquote(parts.path).lstrip("/")
        body = obstore.get(self._store, key, options={"version": version}).bytes()
        metadata: dict[str, Any] = json.loads(gzip.decompress(body))
        return metadata

    def _object_store(self) -> S3Store:
        attributes = {"omixatlas_id": self._contest.atlas_id, "copy_dest_omixatlas_id": None}
        body = json.dumps({"data": {"type": "session-tokens", "attributes": attributes}})
        granted = self._call("POST", "/session-tokens", body.encode())["data"]["attributes"]
        tokens = granted["tokens"]
        credentials: S3Config = {
            "access_key_id": tokens["AccessKeyId"],
            "secret_access_key": tokens["SecretAccessKey"],
        }
        if tokens["SessionToken"]:
            credentials["session_token"] = tokens["SessionToken"]
        return S3Store(
            granted["bucket_name"],
            endpoint=self._contest.s3_endpoint_url,
            region=self._contest.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
            config=credentials,
        )

    def _call(self, method: str, link: str, body: bytes | None = None) -> dict[str, Any]:
        answer = self._pool.request(
            method, self._contest.api_url + link, body=body, headers=self._headers
        )
        if answer.status >= 300:
            raise SystemExit(f"{method} {link}: {answer.status} {answer.data[:200]!r}")
        document: dict[str, Any] = json.loads(answer.data)
        return document
