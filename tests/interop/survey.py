"""What a client sees in whole atlases, whoever filled them.

python -m tests.interop.survey PACKAGE CONFIG ANSWER
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from tests.interop.player import digest, facts


def survey(catalog: Any) -> dict[str, Any]:
    """Everything that reading gives: datasets, metadata, data, history, files, studies."""
    datasets = catalog.list_datasets(prefetch_metadata=True)
    return {
        "datasets": [[repr(each), facts(each), each.metadata()] for each in datasets],
        "data": [digest(each.download("data")) for each in datasets],
        "versions": [
            [[each.version_id, repr(each), each.metadata()] for each in versions]
            for versions in (
                catalog.list_versions(each.dataset_id, include_deleted=True) for each in datasets
            )
        ],
        "files": [
            [[repr(file), digest(file.download("file"))] for file in files]
            for files in (catalog.list_files(each.dataset_id) for each in datasets)
        ],
        "studies": [
            [study, catalog.list_datasets_in_study(study)] for study in catalog.list_studies()
        ],
    }


def main() -> None:
    """Look at every atlas of the configuration."""
    package, config_file, answer_file = sys.argv[1:]
    config = json.loads(Path(config_file).read_text("utf-8"))
    auth = importlib.import_module(f"{package}.auth")
    management = importlib.import_module(f"{package}.data_management")
    auth.Polly.auth(config["read_key"])
    auth.Polly.default_session.discover_url = config["api_url"]
    found = {atlas: survey(management.Catalog(atlas)) for atlas in config["atlases"]}
    Path(answer_file).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
