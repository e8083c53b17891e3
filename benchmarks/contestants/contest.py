"""What every contestant is told and what it answers."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polly_core.models.jsonvalue import Model


class Contest(Model):
    """One update of every dataset of an atlas."""

    api_url: str
    api_key: str
    atlas_id: str
    s3_endpoint_url: str
    region: str
    concurrency: int
    verify: bool
    folder: Path
    """For whatever the contestant keeps; its own, empty."""


def contest_of_argv() -> Contest:
    """The contest named on the command line."""
    return Contest.model_validate_json(Path(sys.argv[1]).read_text())


class Clock:
    """When the last outcome was committed; by default when the work returned."""

    def __init__(self) -> None:
        self.ended_at: float | None = None


@contextmanager
def measured() -> Iterator[Clock]:
    """Print the result document of the work done inside."""
    clock = Clock()
    cpu = time.process_time()
    yield clock
    ended_at = clock.ended_at or time.time()
    print(json.dumps({"ended_at": ended_at, "cpu": time.process_time() - cpu}), flush=True)
