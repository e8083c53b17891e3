"""The final state of a flow run, chosen by us and never by accident."""

from prefect import State
from prefect.states import Cancelled, Completed, Failed

from polly_core.models.run import RunSummary, StopReason

TOLERATED = "CompletedWithErrors"
_CANCELS = frozenset({StopReason.CANCELLED, StopReason.INTERRUPTED, StopReason.PAUSED})


def message_of(summary: RunSummary) -> str:
    """One line: the run's id first, so that it can be found and parsed in Prefect's state."""
    counts = summary.counts
    line = (
        f"ingestion_run_id={summary.run_id} ok={counts.ended_well}/{counts.total} "
        f"failed={counts.not_well}"
    )
    if counts.not_processed:
        line += f" not_processed={counts.not_processed}"
    if summary.stop is not None:
        line += f" stopped={summary.stop.value}"
        if summary.message:
            line += f" ({summary.message})"
    elif summary.broken:
        line += f" broken={summary.broken} ({summary.message})"
    if summary.stop is not None or counts.not_processed:
        line += f"; go on with: polly-bulk resume {summary.run_id}"
    return line


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
