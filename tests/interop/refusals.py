"""The very classes of the vendor's errors: ``python -m tests.interop.refusals CONFIG ANSWER``.

Its users catch these, so the server must make it raise these.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Provoke each and write down what was raised."""
    from polly.auth import Polly  # type: ignore[import-not-found]
    from polly.data_management import Catalog  # type: ignore[import-not-found]

    config_file, answer_file = sys.argv[1:]
    config = json.loads(Path(config_file).read_text("utf-8"))

    def catalog(key: str) -> Any:
        Polly.auth(key)
        Polly.default_session.discover_url = config["api_url"]
        found = Catalog(config["atlas"])
        found.clear_token_cache()
        return found

    writer = catalog(config["api_key"])
    path = "inputs/secret.txt"
    answer = {
        "absent": _raised(lambda: writer.get_dataset("absent")),
        "not an id": _raised(lambda: writer.get_dataset("a b")),
        "no trailing slash": _raised(lambda: writer.get_dataset("")),
        "bad priority": _raised(
            lambda: writer.trigger_ingestion("GSE123", ingestion_params={"priority": "soon"})
        ),
    }
    reader = catalog(config["read_key"])
    answer["upload with the read key"] = _raised(
        lambda: reader.create_dataset("never", "T", path, {})
    )
    answer["file with the read key"] = _raised(lambda: reader.attach_file("GSE123", path))
    answer["write with the read key"] = _raised(
        lambda: reader.update_dataset("GSE123", metadata={})
    )
    stranger = catalog("nobody-knows-this-key")
    answer["unknown key"] = _raised(stranger.list_datasets)
    answer["upload with an unknown key"] = _raised(
        lambda: stranger.create_dataset("never", "T", path, {})
    )
    Path(answer_file).write_text(json.dumps(answer), "utf-8")


def _raised(call: Callable[[], Any]) -> list[Any]:
    try:
        call()
    except Exception as error:  # noqa: BLE001
        kind = type(error)
        return [f"{kind.__module__}.{kind.__name__}", getattr(error, "title", None)]
    return ["nothing", None]


if __name__ == "__main__":
    main()
