"""A progress bar on stderr where a person waits, a line now and then where nobody does."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from polly_core.engine.meter import Progress as RunProgress
from polly_core.models.run import ItemState

QUIET_SECONDS = 15.0

Show = Callable[[RunProgress], None]


@contextmanager
def shown(what: str) -> Iterator[Show]:
    """Gives a function that shows how far a run is."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, note="")

        def show(progress: RunProgress) -> None:
            done, total = _done(progress)
            bar.update(task, completed=done, total=total or None, note=_note(progress))

        yield show


def _lines(what: str) -> Show:
    said_at = time.monotonic()

    def show(progress: RunProgress) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= QUIET_SECONDS:
            said_at = time.monotonic()
            done, total = _done(progress)
            click.echo(f"{what}: {done}/{total} {_note(progress)}", err=True)

    return show


def _done(progress: RunProgress) -> tuple[int, int]:
    """Items that are past the first thing that is done for them: planned, or processed."""
    counts = progress.counts
    if counts.processed or counts.of(ItemState.SENT):
        return counts.processed, counts.total
    return counts.total - counts.of(ItemState.SELECTED), counts.total


def _note(progress: RunProgress) -> str:
    parts = [f"{progress.rate:.0f}/s"] if progress.rate >= 1 else []
    if progress.eta_seconds is not None:
        parts.append(f"about {progress.eta_seconds:.0f} s left")
    if progress.counts.not_well:
        parts.append(f"{progress.counts.not_well} not well")
    if progress.note:
        parts.append(progress.note)
    return ", ".join(parts)
