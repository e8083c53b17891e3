"""The process of the local Prefect server. Started by ``cli.local_server`` only.

Prefect records events and task runs from a queue in memory. On SIGTERM this process closes its
connections first, then waits until the queue is written to the database, and only then ends.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path

from cli.local_server import HOST, record_of, write_record

DRAIN_SECONDS = 300.0
STUCK_SECONDS = 10.0

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class DrainedFirst:
    """An ASGI application that is told to shut down only when ``backlog()`` is empty.

    Waits ``limit`` seconds at most, and not longer than ``stuck`` seconds without any progress.
    """

    def __init__(
        self,
        application: Application,
        backlog: Callable[[], int],
        *,
        limit: float = DRAIN_SECONDS,
        stuck: float = STUCK_SECONDS,
        step: float = 0.1,
    ) -> None:
        self._application = application
        self._backlog = backlog
        self._limit = limit
        self._stuck = stuck
        self._step = step

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return

        async def receive_when_drained() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._drain()
            return message

        await self._application(scope, receive_when_drained, send)

    async def _drain(self) -> None:
        waited = still = 0.0
        left = self._backlog()
        while left > 0 and waited < self._limit and still < self._stuck:
            await asyncio.sleep(self._step)
            waited += self._step
            before, left = left, self._backlog()
            still = still + self._step if left == before else 0.0


def event_backlog() -> int:
    """How many deliveries of events are not yet handled by Prefect's recorders."""
    from prefect.server.utilities.messaging.memory import METRICS

    events = METRICS["events"]
    return events["published"] - events["consumed"]


def serve(port: int) -> None:
    """Run the server until SIGTERM."""
    import uvicorn
    from prefect.server.api.server import create_app

    uvicorn.run(
        DrainedFirst(create_app(), event_backlog),
        host=HOST,
        port=port,
        lifespan="on",
        log_level="warning",
        timeout_graceful_shutdown=10,
    )


def detach(port: int, version: str, record: Path, log: Path) -> bool:
    """Fork; the parent writes the child's record and is told False, the child is told True."""
    child = os.fork()
    if child:
        write_record(record, record_of(child, port, version))
        return False
    os.setsid()
    with log.open("ab", buffering=0) as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    return True


def main() -> None:
    """``python -m cli.local_server_process PORT VERSION RECORD LOG``"""
    port, version, record, log = sys.argv[1:]
    if detach(int(port), version, Path(record), Path(log)):
        serve(int(port))


if __name__ == "__main__":
    main()
