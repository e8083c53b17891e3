"""Where the command line's flows are recorded: the Prefect server that is set, or the local one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.local_server import ensure_server


@contextmanager
def prefect_api(home: Path) -> Iterator[str]:
    """The URL of a Prefect API, set for the flows that run inside.

    PREFECT_API_URL, from the environment or the active Prefect profile, wins. Where it is not set,
    the local server in ``home`` is found or started, and left running.

    Raises:
        CannotProceed: the local server could not be started.
    """
    # Read by Prefect when it is imported: the bar on the terminal says what its lines would say.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOCAL_STORAGE_PATH,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
        temporary_settings,
    )

    from deployments.standing import HEARTBEAT_SECONDS

    given = PREFECT_API_URL.value()
    if given:
        # The automation that marks dead runs expects beats so often; None, for none, is left.
        beat = PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value()
        often = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: beat and min(beat, HEARTBEAT_SECONDS)}
        with temporary_settings(often):
            yield given
        return
    url = ensure_server(home)
    settings = {
        PREFECT_API_URL: url,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT_SECONDS,
        PREFECT_LOCAL_STORAGE_PATH: home / "prefect" / "results",
    }
    with temporary_settings(settings):
        set_up_once(home, url)
        yield url


def set_up_once(home: Path, url: str) -> None:
    """Put the limit and the automations on the local server, the first time it is used."""
    from deployments.standing import set_up

    mark = home / "prefect" / "set-up"
    if mark.exists() and mark.read_text(encoding="utf-8") == url:
        return
    set_up()
    mark.write_text(url, encoding="utf-8")
