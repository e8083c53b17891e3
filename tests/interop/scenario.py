"""The whole tutorial and API reference, run by any client that keeps to them.

    python -m tests.interop.scenario PACKAGE CONFIG TRANSCRIPT

``PACKAGE`` is ``polly`` or ``polly_core``; the steps know no difference. What the client answered
goes to ``TRANSCRIPT`` as JSON, without the ids and times that no two runs share. Runs in the
vendor's environment as well, so it imports nothing of this repository but its steps.
"""

import json
import sys
from pathlib import Path

from tests.interop import steps_beyond, steps_datasets, steps_edges
from tests.interop.player import Player

STEPS = (
    steps_datasets.empty_atlas,
    steps_datasets.create,
    steps_datasets.refused_creates,
    steps_datasets.list_and_get,
    steps_datasets.data_files,
    steps_datasets.update,
    steps_datasets.history,
    steps_datasets.deletion,
    steps_beyond.files,
    steps_beyond.linked_files,
    steps_beyond.studies,
    steps_beyond.copies,
    steps_beyond.bulk,
    steps_beyond.pages,
    steps_edges.odd_requests,
    steps_edges.odd_files,
    steps_edges.at_once,
    steps_beyond.access,
)


def main() -> None:
    """Play every step and write the transcript."""
    package, config_file, transcript_file = sys.argv[1:]
    player = Player(package, json.loads(Path(config_file).read_text("utf-8")))
    for step in STEPS:
        step(player)
    Path(transcript_file).write_text(json.dumps(player.transcript, indent=1), "utf-8")


if __name__ == "__main__":
    main()
