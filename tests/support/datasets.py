"""Small datasets in an atlas of a test server, made over the wire."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from polly_core.models.jsonvalue import JsonObject
from polly_core.server.s3 import s3_client
from tests.support.atlas import RunningAtlas
from tests.support.objects import store_access, upload
from tests.support.wire import WireCaller


def fill(atlas: RunningAtlas, atlas_id: str, datasets: Mapping[str, JsonObject]) -> None:
    """Create a dataset for each id, with its metadata; they share one data object."""
    client = s3_client(store_access(atlas.data_dir))
    uri = upload(client, f"{atlas_id}/data.gct")
    caller = WireCaller(atlas.api_url, atlas.api_key)
    try:
        with ThreadPoolExecutor(16) as pool:
            answers = pool.map(
                lambda item: caller.create(atlas_id, item[0], uri, item[1]), datasets.items()
            )
            for answer in answers:
                assert answer.status == 201, answer.body
    finally:
        caller.close()


def version_counts(atlas: RunningAtlas, atlas_id: str) -> dict[str, int]:
    """How many versions each dataset of an atlas has."""
    caller = WireCaller(atlas.api_url, atlas.api_key)
    try:
        ids = [found["id"] for found in caller.listing(atlas_id)]
        path = f"/repositories/{atlas_id}/datasets/{{}}/versions"
        with ThreadPoolExecutor(16) as pool:
            answers = pool.map(lambda name: caller.call("GET", path.format(name)).document, ids)
            return {name: len(answer["data"]) for name, answer in zip(ids, answers, strict=True)}
    finally:
        caller.close()
