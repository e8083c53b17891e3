"""Objects that an item put into the store and that nothing of it refers to in the end."""

from polly_core.models.run import Planned, StepResult
from polly_core.operations.stepping import ATTACH, DATA, DATASET, OBJECT


def orphans(planned: Planned, done: tuple[StepResult, ...]) -> tuple[str, ...]:
    """Pinned locations of objects whose document was never written, in the order of the steps."""
    steps = {result.step for result in done}
    unused = {DATA} if DATASET not in steps else set()
    for file in planned.attach:
        if ATTACH + file.file_name not in steps:
            unused.add(OBJECT + file.file_name)
    return tuple(one.location for one in done if one.step in unused and one.location)
