"""The catalog protocol by hand: for tests that must not depend on the client under test."""

import json
from typing import Any

import urllib3


class WireAnswer:
    """What the server answered."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.data

    @property
    def document(self) -> Any:
        """The JSON document."""
        return json.loads(self.body)


class WireCaller:
    """Sends single requests with one key; repeats nothing. Thread-safe."""

    def __init__(self, api_url: str, api_key: str) -> None:
        self._api_url = api_url
        self._api_key = api_key
        self._pool = urllib3.PoolManager(
            maxsize=16, retries=False, timeout=urllib3.Timeout(connect=5, read=30)
        )

    def call(self, method: str, path: str, body: object = None) -> WireAnswer:
        """Send it and read the whole answer."""
        response = self._pool.request(
            method,
            self._api_url + path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"x-api-key": self._api_key, "Content-Type": "application/vnd.api+json"},
        )
        return WireAnswer(response)

    def create(self, atlas_id: str, dataset_id: str, uri: str, metadata: object) -> WireAnswer:
        """POST a dataset whose data is already uploaded."""
        attributes = {
            "data_type": "Bulk RNAseq",
            "metadata": metadata,
            "data_s3_uri": uri,
            "data_format": "gct",
        }
        data = {"type": "datasets", "id": dataset_id, "attributes": attributes}
        return self.call("POST", f"/repositories/{atlas_id}/datasets", {"data": data})

    def update(self, atlas_id: str, dataset_id: str, metadata: object) -> WireAnswer:
        """PATCH a dataset's metadata."""
        data = {"type": "datasets", "id": dataset_id, "attributes": {"metadata": metadata}}
        path = f"/repositories/{atlas_id}/datasets/{dataset_id}"
        return self.call("PATCH", path, {"data": data})

    def tokens(self, atlas_id: str, destination: str | None = None) -> WireAnswer:
        """POST for session tokens."""
        attributes = {"omixatlas_id": atlas_id, "copy_dest_omixatlas_id": destination}
        data = {"type": "session-tokens", "attributes": attributes}
        return self.call("POST", "/session-tokens", {"data": data})

    def listing(self, atlas_id: str) -> list[Any]:
        """Every dataset resource of an atlas."""
        found: list[Any] = []
        path: str | None = f"/repositories/{atlas_id}/datasets?page[size]=1000"
        while path is not None:
            document = self.call("GET", path).document
            found += document["data"]
            path = (document.get("links") or {}).get("next")
        return found

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()
