"""Reads a whole atlas with plain HTTP and boto3, and writes it down without its random parts."""

import gzip
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import requests


class NeutralReader:
    """One key on one server. Shares no code with either client."""

    def __init__(self, api_url: str, api_key: str, s3_endpoint_url: str, region: str) -> None:
        self._base = api_url.rstrip("/")
        self._session = requests.Session()
        self._session.headers["x-api-key"] = api_key
        self._s3_endpoint_url = s3_endpoint_url
        self._region = region

    def get(self, path: str) -> dict[str, Any]:
        """One GET; anything but 200 is a failure of the test."""
        answer = self._session.get(self._base + path, timeout=30)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        document: dict[str, Any] = answer.json()
        return document

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Every resource of a list."""
        link: str | None = path
        while link:
            document = self.get(link)
            yield from document["data"]
            link = document.get("links", {}).get("next")

    def objects(self, atlas: str) -> "Objects":
        """The objects of an atlas, with credentials as any client gets them."""
        body = {
            "data": {
                "type": "session-tokens",
                "attributes": {"omixatlas_id": atlas, "copy_dest_omixatlas_id": None},
            }
        }
        answer = self._session.post(f"{self._base}/session-tokens", json=body, timeout=30)
        attributes = answer.json()["data"]["attributes"]
        tokens = attributes["tokens"]
        client = boto3.client(
            "s3",
            endpoint_url=self._s3_endpoint_url,
            region_name=self._region,
            aws_access_key_id=tokens["AccessKeyId"],
            aws_secret_access_key=tokens["SecretAccessKey"],
            aws_session_token=tokens["SessionToken"],
        )
        return Objects(client, attributes["bucket_name"])


class Objects:
    """Objects by URI. Object versions of one key are numbered in the order they are asked for."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._seen: dict[str, list[str]] = defaultdict(list)

    def read(self, uri: str) -> bytes:
        """The bytes of exactly the version that the URI names."""
        bucket, key, version = _split(uri)
        answer = self._client.get_object(Bucket=bucket, Key=key, VersionId=version)
        content: bytes = answer["Body"].read()
        return content

    def exists(self, key: str) -> bool:
        """Whether any object is stored under a key."""
        try:
            self._client.head_object(Bucket=self._bucket, Key=key)
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return False
            raise
        return True

    def name(self, uri: str) -> str:
        """The key and the number of its object version: ``9/v2/a/a.gct @2``."""
        _, key, version = _split(uri)
        seen = self._seen[key]
        if version not in seen:
            seen.append(version)
        return f"{key} @{seen.index(version) + 1}"


def dump(reader: NeutralReader, atlases: dict[str, str]) -> dict[str, Any]:
    """Everything that two clients must leave alike, by atlas; ``atlases`` gives each id a name."""
    found = {name: _atlas(reader, atlas) for atlas, name in atlases.items()}
    text = json.dumps(found)
    for atlas, name in atlases.items():
        text = text.replace(atlas, name)
    result: dict[str, Any] = json.loads(text)
    return result


def _atlas(reader: NeutralReader, atlas: str) -> dict[str, Any]:
    root = f"/repositories/{atlas}"
    objects = reader.objects(atlas)
    live = {item["id"]: item["attributes"] for item in reader.pages(f"{root}/datasets")}
    ingestions = list(reader.pages(f"{root}/ingestions"))
    ever = sorted({item["attributes"]["dataset_id"] for item in ingestions} | set(live))
    versions = {name: _versions(reader, objects, root, name) for name in ever}
    studies = [item["id"] for item in reader.get(f"{root}/studies")["data"]]
    return {
        "listed": list(live),
        "datasets": {name: _dataset(each, versions[name]) for name, each in live.items()},
        "versions": {name: list(each.values()) for name, each in versions.items()},
        "present life": {
            name: len(reader.get(f"{root}/datasets/{name}/versions")["data"]) for name in live
        },
        "files": {name: _files(reader, objects, root, name) for name in live},
        "studies": {study: _study(reader, root, study) for study in studies},
        "ingestions": _ingestions(ingestions, versions),
    }


def _versions(
    reader: NeutralReader, objects: Objects, root: str, name: str
) -> dict[str, dict[str, Any]]:
    """By version id, oldest first."""
    path = f"{root}/datasets/{name}/versions?include_deleted=True"
    found: dict[str, dict[str, Any]] = {}
    times = []
    for item in reversed(reader.get(path)["data"]):
        facts = item["attributes"]
        assert facts["version_id"] == item["id"]
        times.append(facts["created_at"])
        found[item["id"]] = {
            "number": len(found) + 1,
            "type": facts["data_type"],
            "format": facts["data_format"],
            "data": objects.name(facts["data_location"]),
            "content": _content(objects.read(facts["data_location"]), facts["data_format"]),
            "metadata": json.loads(gzip.decompress(objects.read(facts["metadata_location"]))),
        }
    assert times == sorted(times)
    return found


def _dataset(facts: dict[str, Any], versions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    version = versions[facts["version_id"]]
    assert facts["data_type"] == version["type"]
    assert facts["data_format"] == version["format"]
    return {"version": version["number"], "study": facts["study_id"]}


def _files(reader: NeutralReader, objects: Objects, root: str, name: str) -> list[dict[str, Any]]:
    items = reader.get(f"{root}/datasets/{name}/supplementary_files")["data"]
    return [
        {
            "name": facts["file_name"],
            "format": facts["file_format"],
            "tag": facts["tag"],
            "location": objects.name(facts["file_location"]),
            "content": _content(objects.read(facts["file_location"]), ""),
            "linked to": facts["derived_from"] and objects.name(facts["derived_from"]),
        }
        for facts in (item["attributes"] for item in items)
    ]


def _study(reader: NeutralReader, root: str, study: str) -> list[str]:
    document = reader.get(f"{root}/studies/{study}")
    return [item["id"] for item in document["relationships"]["datasets"]["data"]]


def _ingestions(
    ingestions: list[dict[str, Any]], versions: dict[str, dict[str, dict[str, Any]]]
) -> dict[str, list[Any]]:
    """By dataset, oldest first. A run id that the server made up counts as any."""
    found: dict[str, list[Any]] = defaultdict(list)
    for facts in (item["attributes"] for item in ingestions):
        history = versions[facts["dataset_id"]]
        version = facts["version_id"] and history[facts["version_id"]]["number"]
        given = (facts["params"] or {}).get("ingestion_run_id")
        assert facts["run_id"]
        assert given is None or facts["run_id"] == given
        found[facts["dataset_id"]].append([version, facts["params"]])
    # Threads wrote to several datasets at once; the order within one is theirs.
    return dict(sorted(found.items()))


def _split(uri: str) -> tuple[str, str, str]:
    parts = urlsplit(uri)
    assert parts.scheme == "s3", uri
    return parts.netloc, unquote(parts.path)[1:], parse_qs(parts.query)["versionId"][0]


def _content(data: bytes, data_format: str) -> str:
    """A digest of what the data say: writers may differ in bytes, not in what is meant."""
    if data_format == "gct":
        data = json.dumps(_gct_content(data.decode())).encode()
    elif data_format == "h5ad":
        data = json.dumps(_h5ad_content(data)).encode()
    return hashlib.sha256(data).hexdigest()


def _gct_content(text: str) -> Any:
    lines = [line.split("\t") for line in text.splitlines()]
    rows, columns, row_annotations, column_annotations = map(int, lines[1])
    start = 1 + row_annotations
    body = lines[3 + column_annotations :]
    assert len(body) == rows
    return {
        "ids": lines[2][1:],
        "columns": [[line[0], *line[start:]] for line in lines[3 : 3 + column_annotations]],
        "rows": [line[:start] for line in body],
        "numbers": [[float(cell) for cell in line[start : start + columns]] for line in body],
    }


def _h5ad_content(data: bytes) -> Any:
    import anndata

    cells = anndata.read_h5ad(io.BytesIO(data))
    return {
        "matrix": cells.X.tolist(),
        "rows": json.loads(cells.obs.to_json(orient="split")),
        "columns": json.loads(cells.var.to_json(orient="split")),
    }


def write_inputs(folder: Path) -> None:
    """The local files of the scenario: the same bytes for every client."""
    import anndata
    import numpy as np
    import pandas as pd

    folder.mkdir()
    genes = [f"gene{number}" for number in range(60)]
    lines = ["#1.3", f"{len(genes)}\t2\t1\t1", "id\tsymbol\ts1\ts2", "cell\t-666\tA375\tMCF7"]
    lines += [f"{gene}\tS{gene}\t{number / 4}\t{-number}" for number, gene in enumerate(genes)]
    (folder / "counts.gct").write_text("\n".join(lines) + "\n")
    cells = anndata.AnnData(
        np.eye(3, dtype=np.float32),
        obs=pd.DataFrame({"n_genes": [5, 6, 7]}, index=["c1", "c2", "c3"]),
        var=pd.DataFrame(index=["g1", "g2", "g3"]),
    )
    cells.write_h5ad(folder / "cells.h5ad")
    table = "".join(f"{number},{number**2}\n" for number in range(2000)).encode()
    (folder / "table.csv.gz").write_bytes(gzip.compress(table, mtime=0))
    (folder / "notes.txt").write_text("less than a kilobyte")
    (folder / "secret.txt").write_text("must never be uploaded" * 100)
    (folder / "measured.qqq").write_bytes(bytes(range(256)) * 20)
    (folder / "report.html").write_text("<html>" + "report " * 500 + "</html>")
    (folder / "de_results.csv").write_text("gene,p\n" + "TP53,0.01\n" * 300)
    (folder / "vst_normalized_counts.csv").write_text("gene,s1\n" + "TP53,7.1\n" * 300)
    # Above 8 MiB: uploaded, downloaded and copied in parts.
    (folder / "big.bed").write_bytes(np.random.default_rng(5).bytes(9 * 2**20 + 17))
