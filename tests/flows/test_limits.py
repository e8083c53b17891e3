"""The global limit on a real Prefect server."""

import threading
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.limits import Slots, ensure_limit
from polly_core.errors import CannotProceed
from tests.flows.conftest import Bench
from tests.support.prefect import PrefectServer, eventually

pytestmark = pytest.mark.timeout(180)


def active(client: SyncPrefectClient, name: str) -> int:
    """Slots of the limit that are taken."""
    return client.read_global_concurrency_limit_by_name(name).active_slots


def test_it_is_created_where_it_is_missing_and_left_as_it_is(prefect_server: PrefectServer) -> None:
    name = f"limit-{uuid4().hex}"
    with prefect_server.in_use() as client:
        assert ensure_limit(client, name, 5).limit == 5
        assert ensure_limit(client, name, 9).limit == 5


def test_slots_are_held_and_given_back(prefect_server: PrefectServer) -> None:
    name = f"limit-{uuid4().hex}"
    with prefect_server.in_use() as client:
        ensure_limit(client, name, 5)
        with Slots(3, name):
            assert active(client, name) == 3
        assert active(client, name) == 0


def test_a_second_process_waits_for_its_slots(prefect_server: PrefectServer) -> None:
    """Two holders that do not fit beside each other are never there together."""
    name = f"limit-{uuid4().hex}"
    taken = threading.Event()

    def second() -> None:
        with prefect_server.in_use(), Slots(3, name):
            taken.set()

    with prefect_server.in_use() as client:
        ensure_limit(client, name, 5)
        other = threading.Thread(target=second)
        with Slots(3, name):
            other.start()
            assert not taken.wait(2.0)
        other.join(60)
    assert taken.is_set()


def test_more_slots_than_there_are_is_refused_with_the_command_that_helps(
    prefect_server: PrefectServer,
) -> None:
    name = f"limit-{uuid4().hex}"
    with prefect_server.in_use() as client:
        ensure_limit(client, name, 5)
        with (
            pytest.raises(CannotProceed, match=f"prefect gcl update {name} --limit 6"),
            Slots(6, name),
        ):
            pass


def test_a_run_holds_as_many_as_its_ceiling(bench: Bench) -> None:
    """While it runs, and not after it."""
    bench.fill({f"d{number}": {"species": "human"} for number in range(60)})
    seen: set[int] = set()
    bench.update(
        concurrency=2,
        shard_size=10,
        on_progress=lambda _progress: seen.add(active(bench.client, "polly-api")),
    )
    assert seen == {2}
    eventually(lambda: active(bench.client, "polly-api") == 0, seconds=20, what="the release")
