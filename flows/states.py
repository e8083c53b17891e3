"""The final state of a flow run, chosen by us and never by accident."""

from prefect import State
from prefect.states import Cancelled, Completed, Failed

from flows.blocks import BlockEnd
from polly_core.errors import InvalidInput, PollyError
from polly_core.models.run import Counts, RunSummary, StopReason

TOLERATED = "CompletedWithErrors"
REFUSED = "refused: "
"""Begins the message of a flow run whose input was found wrong."""
_CANCELS = frozenset({StopReason.CANCELLED, StopReason.INTERRUPTED, StopReason.PAUSED})


def message_of(summary: RunSummary) -> str:
    """One line: the run's id first, so that it can be found and parsed in Prefect's state."""
    counts = summary.counts
    line = f"ingestion_run_id={summary.run_id} {_counted(counts)}"
    if summary.stop is not None:
        line += f" stopped={summary.stop.value}"
        if summary.message:
            line += f" ({summary.message})"
    elif summary.broken:
        line += f" broken={summary.broken} ({summary.message})"
    if summary.stop is not None or counts.not_processed:
        line += f"; go on with: polly-bulk resume {summary.run_id}"
    return line


def _counted(counts: Counts) -> str:
    text = f"ok={counts.ended_well}/{counts.total} failed={counts.not_well}"
    return text + (f" not_processed={counts.not_processed}" if counts.not_processed else "")


def final_state(summary: RunSummary) -> State[object]:
    """Completed, CompletedWithErrors (tolerated), Failed or Cancelled; data is the summary."""
    data = summary.model_dump(mode="json")
    message = message_of(summary)
    if summary.stop in _CANCELS:
        return Cancelled(message=message, data=data)
    if summary.exit_code != 0:
        return Failed(message=message, data=data)
    if summary.counts.not_well:
        return Completed(name=TOLERATED, message=message, data=data)
    return Completed(message=message, data=data)


def unfit_state(error: PollyError) -> State[object]:
    """Failed, in the words of what was expected to go wrong; reading the state raises it."""
    refused = isinstance(error, InvalidInput)
    return Failed(message=f"{REFUSED if refused else ''}{error}", data=error)


def block_state(end: BlockEnd) -> State[object]:
    """The same for a block of a run. How many may end badly is for the whole run to judge."""
    data = end.model_dump(mode="json")
    message = f"ingestion_run_id={end.run_id} {end.block}: {_counted(end.counts)}"
    if end.through:
        name = TOLERATED if end.counts.not_well else None
        return Completed(name=name, message=message, data=data)
    if end.stop is not None:
        message += f" stopped={end.stop.value}" + (f" ({end.message})" if end.message else "")
    message += f"; it is taken up with its run: polly-bulk resume {end.run_id}"
    failed = end.stop not in _CANCELS
    return (Failed if failed else Cancelled)(message=message, data=data)
