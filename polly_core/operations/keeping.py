"""Keeps what an item takes away: how its files stood, and their bytes where that is asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from polly_core.catalog.data import check_file_name
from polly_core.catalog.ports import Reader
from polly_core.errors import CannotProceed, ObjectMissing, StorageDenied
from polly_core.models.catalog import FileRecord
from polly_core.models.run import FileState, Planned, StepResult
from polly_core.operations.drifting import state_of
from polly_core.operations.fetching import sha256_of
from polly_core.operations.stepping import SAVE


@dataclass(frozen=True, slots=True)
class Kept:
    """Files as they stand before they are lost."""

    before: tuple[FileState, ...] = ()
    saves: tuple[str, ...] = ()
    """Names of those whose bytes are to be downloaded."""
    not_recoverable: tuple[str, ...] = ()


def keep(reader: Reader, files: Iterable[FileRecord], *, save_bytes: bool) -> Kept:
    """The state of files that are about to be lost, each checked to be readable.

    What cannot be read is said to be not recoverable, and is not tried to be saved.
    """
    before: list[FileState] = []
    readable: list[str] = []
    lost: list[str] = []
    for file in files:
        state = state_of(file)
        try:
            pinned = reader.stat(file.file_location).location
        except (ObjectMissing, StorageDenied) as error:
            lost.append(f"file {file.file_name!r} could not be put back: {error}")
        else:
            state = state.model_copy(update={"file_location": pinned})
            readable.append(file.file_name)
        before.append(state)
    return Kept(tuple(before), tuple(readable) if save_bytes else (), tuple(lost))


def save(reader: Reader, planned: Planned, file_name: str, folder: Path) -> StepResult:
    """Download a file that is about to be lost. Again it is the same file at the same place.

    Raises:
        InvalidInput: its name would lead out of the folder, or it cannot be read back there.
        CannotProceed: it cannot be written there.
        StorageError: it cannot be read.
    """
    check_file_name(file_name)
    state = next(file for file in planned.files_before if file.file_name == file_name)
    target = folder / planned.dataset_id / file_name
    try:
        reader.download(state.file_location, target)
        found = sha256_of(target)
    except OSError as error:
        raise CannotProceed(
            f"file {file_name!r} of dataset {planned.dataset_id} cannot be saved to {target} "
            f"({error.strerror}); nothing of it was removed. Make room or give access, and resume"
        ) from error
    return StepResult(step=SAVE + file_name, location=str(target), sha256=found)


def saved_files(done: tuple[StepResult, ...]) -> tuple[str, ...]:
    """What was saved of an item, where, for the reader of its report."""
    return tuple(
        f"saved {one.step.removeprefix(SAVE)!r} to {one.location} (SHA-256 {one.sha256})"
        for one in done
        if one.step.startswith(SAVE)
    )
