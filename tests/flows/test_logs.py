"""What the core logs is stored with the flow run."""

import logging
import threading

import pytest
from prefect import flow
from prefect.logging.handlers import APILogHandler

from flows.logs import CORE, kept_with_run
from tests.support.prefect import PrefectServer, eventually, logs_of

pytestmark = pytest.mark.timeout(180)


@flow
def talkative() -> None:
    """Logs from its own thread, and from one that knows nothing of Prefect."""
    core = logging.getLogger("polly_core.engine.test")
    with kept_with_run():
        core.info("said in the flow")
        core.debug("said too quietly")
        thread = threading.Thread(target=core.warning, args=("said in a thread",))
        thread.start()
        thread.join()
    core.info("said too late")


def test_also_what_is_said_in_threads_of_its_own(prefect_server: PrefectServer) -> None:
    """Each line once, also where PREFECT_LOGGING_EXTRA_LOGGERS has put Prefect's own handler."""
    extra = APILogHandler()
    core = logging.getLogger("polly_core")
    core.addHandler(extra)
    try:
        with prefect_server.in_use() as client:
            state = talkative(return_state=True)
            run_id = state.state_details.flow_run_id
            assert run_id is not None

            def both() -> list[str]:
                told = [log for log in logs_of(client, run_id) if log.name.startswith("polly")]
                return [log.message for log in told] if len(told) >= 2 else []

            lines = eventually(both, what="the logs")
            # The last line of the run comes after all of ours.
            eventually(
                lambda: any("Finished" in log.message for log in logs_of(client, run_id)),
                what="the end of the logs",
            )
            assert sorted(lines) == sorted(both()) == ["said in a thread", "said in the flow"]
        assert core.handlers == [extra]
    finally:
        core.removeHandler(extra)


def test_loggers_are_left_as_they_were(prefect_server: PrefectServer) -> None:
    before = [(logging.getLogger(name).level, logging.getLogger(name).handlers) for name in CORE]
    with prefect_server.in_use():
        talkative()
    after = [(logging.getLogger(name).level, logging.getLogger(name).handlers) for name in CORE]
    assert after == before
