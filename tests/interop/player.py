"""A client at work: any that keeps to the tutorial. Runs in the vendor's environment as well."""

import hashlib
import importlib
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
SAMPLES = ["s1", "s2", "s3"]
GENES = [f"gene{number}" for number in range(40)]


class Player:
    """One client at work in one atlas and, for copies, a second one."""

    def __init__(self, package: str, config: dict[str, str]) -> None:
        self.auth = importlib.import_module(f"{package}.auth")
        self.management = importlib.import_module(f"{package}.data_management")
        self.threading = importlib.import_module(f"{package}.threading_utils")
        self.atlas = config["atlas"]
        self.other = config["other_atlas"]
        self.config = config
        self.transcript: dict[str, Any] = {}
        self.note_error("before logging in", lambda: self.management.Catalog(self.atlas))
        self.log_in(config["api_key"])
        self.catalog = self.management.Catalog(omixatlas_id=self.atlas)

    def log_in(self, key: str) -> None:
        """Use the self-hosted server with this key from now on."""
        self.auth.Polly.auth(key)
        self.auth.Polly.default_session.discover_url = self.config["api_url"]

    def note(self, step: str, value: Any) -> None:
        """Put an answer into the transcript."""
        assert step not in self.transcript, step
        text = json.dumps(value, default=repr)
        for atlas, name in ((self.atlas, "A"), (self.other, "B")):
            text = text.replace(atlas, name)
        self.transcript[step] = json.loads(TIME.sub("<time>", text))

    def note_error(self, step: str, call: Callable[[], Any]) -> None:
        """Put the error that a call ends in into the transcript."""
        try:
            call()
        except Exception as error:  # noqa: BLE001
            self.note(step, kind(error))
        else:
            self.note(step, "no error")

    def note_warnings(self, step: str, call: Callable[[], Any]) -> Any:
        """Put the warnings that a call shows to the user into the transcript."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answer = call()
        self.note(step, [str(each.message) for each in caught if each.category is UserWarning])
        return answer


def matrix() -> Any:
    """Numbers that survive four decimals, which is what the vendor's client keeps of them."""
    import numpy as np
    import pandas as pd
    from cmapPy.pandasGEXpress.GCToo import GCToo

    values = np.arange(len(GENES) * len(SAMPLES)).reshape(len(GENES), len(SAMPLES)) / 8 - 3
    return GCToo(
        pd.DataFrame(values, index=GENES, columns=SAMPLES),
        pd.DataFrame({"symbol": [f"S-{gene}" for gene in GENES]}, index=GENES),
        pd.DataFrame({"cell": ["A375", "MCF7", "A375"]}, index=SAMPLES),
    )


def cells() -> Any:
    import anndata
    import numpy as np
    import pandas as pd

    return anndata.AnnData(
        np.arange(12, dtype=np.float32).reshape(3, 4),
        obs=pd.DataFrame({"n_genes": [1, 2, 3], "kind": ["B", "T", "B"]}, index=SAMPLES),
        var=pd.DataFrame(index=GENES[:4]),
    )


def facts(dataset: Any) -> list[Any]:
    return [
        dataset.dataset_id,
        dataset.omixatlas_id,
        dataset.data_type,
        dataset.data_format,
        dataset.study_id,
        dataset.data_location.rpartition("?")[0].partition("//")[2].partition("/")[2],
        isinstance(dataset.version_id, str),
        isinstance(dataset.last_modified_at, int),
    ]


def same_id(version: Any) -> str:
    return repr(version).replace(version.version_id, "<id>")


def shape(matrix: Any) -> list[int]:
    return list(matrix.data_df.shape)


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def kind(error: Exception) -> str:
    """What an error says, whatever its class is called."""
    title = getattr(error, "title", None)
    if isinstance(title, str) and title:
        return title.lower()
    name = type(error).__name__
    if name.startswith(("Unauthorized", "NotAuthenticated")):
        return "unauthorized"
    # What the HTTP library raises for NaN is no ValueError.
    no_value = isinstance(error, ValueError) or name == "InvalidJSONError"
    return "value error" if no_value else name
