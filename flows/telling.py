"""Tells Prefect how a run is doing. A server that is away never stops the run."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.context import SettingsContext, get_settings_context
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows import artifacts
from flows.blocks import ARTIFACT as BLOCK
from flows.blocks import BlockEnd
from polly_core.engine.meter import Progress
from polly_core.ledger.rows import ItemRow
from polly_core.models.jsonvalue import JsonValue
from polly_core.models.run import RunSummary

PROGRESS_SECONDS = 3.0
RECONCILE_SECONDS = 60.0

log = logging.getLogger(__name__)


def impatient() -> SettingsContext:
    """Settings for requests that are not to hold anything up; ask for them once.

    Prefect's client would try for a minute. Making settings validates all of them, which costs more
    than a request.
    """
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        return get_settings_context()


class Teller:
    """What one flow run tells. What could not be told is kept and told again at the end."""

    def __init__(
        self,
        flow_run_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._flow_run_id = UUID(flow_run_id)
        self._impatient = impatient()
        self._clock = clock
        self._sleep = sleep
        self._untold: dict[str, Callable[[], object]] = {}
        self._progress_id: UUID | None = None
        self._told_at = float("-inf")

    def tags(self, tags: Iterable[str]) -> None:
        """Add tags to the flow run; those it has stay."""
        wanted = frozenset(tags)
        self._tell("tags", lambda: self._add_tags(wanted))

    def progress(self, progress: Progress, *, now: bool = False) -> None:
        """Show progress; every few seconds at most unless it must be ``now``."""
        if now or self._clock() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = self._clock()
            self._tell("progress", lambda: self._show_progress(progress))

    def summary(self, summary: RunSummary, items: Sequence[ItemRow], report: Path) -> None:
        """Store the report, the summary as JSON, the items worth seeing, and where the rest is."""
        contents: dict[str, tuple[str, JsonValue]] = {
            artifacts.REPORT: ("markdown", artifacts.report_markdown(summary)),
            artifacts.SUMMARY: ("json", summary.model_dump(mode="json")),
            artifacts.ITEMS: ("table", json.dumps(artifacts.item_table(items))),
            artifacts.FILES: ("markdown", artifacts.files_markdown(summary, report)),
        }
        for key, (kind, data) in contents.items():
            self._tell(key, partial(self._store, key, kind, data))

    def block(self, end: BlockEnd) -> None:
        """Store how a block ended, for the flow run that waits for it on whatever machine."""
        data = end.model_dump(mode="json")
        self._tell(BLOCK, lambda: self._store(BLOCK, "json", data))

    def reconcile(self) -> bool:
        """Tell what could not be told, waiting a while for the server. False: some is untold."""
        deadline = self._clock() + RECONCILE_SECONDS
        while self._untold and self._clock() < deadline:
            self._sleep(2.0)
            for what, action in list(self._untold.items()):
                self._tell(what, action)
        if self._untold:
            log.warning("Prefect was not told: %s", ", ".join(sorted(self._untold)))
        return not self._untold

    def _tell(self, what: str, action: Callable[[], object]) -> None:
        try:
            with self._impatient:
                action()
        except httpx.HTTPError as error:
            if what not in self._untold:
                log.warning("Prefect could not be told %s, the run goes on: %s", what, error)
            self._untold[what] = action
        else:
            self._untold.pop(what, None)

    def _add_tags(self, wanted: frozenset[str]) -> None:
        with get_client(sync_client=True) as client:
            present = frozenset(client.read_flow_run(self._flow_run_id).tags)
            if not wanted <= present:
                client.update_flow_run(self._flow_run_id, tags=sorted(present | wanted))

    def _show_progress(self, progress: Progress) -> None:
        done, text = artifacts.percent_done(progress), artifacts.progress_text(progress)
        if self._progress_id is None:
            self._progress_id = self._store(artifacts.PROGRESS, "progress", done, text)
        else:
            with get_client(sync_client=True) as client:
                client.update_artifact(
                    self._progress_id, ArtifactUpdate(data=done, description=text)
                )

    def _store(self, key: str, kind: str, data: JsonValue, description: str = "") -> UUID:
        artifact = ArtifactCreate(
            key=key,
            type=kind,
            data=data,
            description=description or None,
            flow_run_id=self._flow_run_id,
        )
        with get_client(sync_client=True) as client:
            return client.create_artifact(artifact).id
