"""The tutorial's bulk snippet on the vendor's unmodified client, run by that client's Python.

Imports nothing of this project: the vendor's environment does not have it.
"""

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Set the field as documented, with as many threads as the contest says."""
    with open(sys.argv[1]) as lines:  # noqa: PTH123
        contest = json.load(lines)
    # The client asks a public site for its newest release at the first sign-on, without a
    # time-out. A proxy that refuses answers that question here; it is gone before the clock runs.
    os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"
    from polly.auth import Polly, retries  # type: ignore[import-not-found]
    from polly.data_management import (  # type: ignore[import-not-found]
        Catalog,
    )
    from polly.threading_utils import (  # type: ignore[import-not-found]
        for_each_threaded,
    )
    from requests.adapters import HTTPAdapter

    Polly.auth(contest["api_key"])
    Polly.default_session.discover_url = contest["api_url"]
    # What the client itself sets up for https, where the hosted service is.
    adapter = HTTPAdapter(pool_connections=100, pool_maxsize=100, max_retries=retries)
    Polly.default_session.mount("http://", adapter)
    del os.environ["HTTPS_PROXY"]

    cpu = time.process_time()
    catalog = Catalog(omixatlas_id=contest["atlas_id"])
    datasets = catalog.list_datasets(prefetch_metadata=True)
    dataset_id_to_metadata = {}
    for dataset in datasets:
        new_metadata = {**dataset.metadata(), "new_field": "foobar"}
        dataset_id_to_metadata[dataset.dataset_id] = new_metadata

    def fn(dataset: Any) -> None:
        dataset_id = dataset.dataset_id
        catalog.update_dataset(dataset_id, metadata=dataset_id_to_metadata[dataset_id])

    for_each_threaded(items=datasets, fn=fn, max_workers=contest["concurrency"], verbose=True)
    print(json.dumps({"ended_at": time.time(), "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()
