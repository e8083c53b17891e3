"""What a flow run that spreads its run, and those that take a block of it, tell each other."""

from pydantic import Field, field_validator

from flows.parameters import Form, uuid_text
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import Model
from polly_core.models.run import Counts, StopReason

ARTIFACT = "block-summary"


class Block(Form):
    """Some shards of a run that another flow run selected, planned where that is asked for, and
    will finish."""

    run_id: str = Field(description="The ingestion_run_id of the run.")
    first: int = Field(ge=0, description="Its first shard.")
    last: int = Field(ge=0, description="Its last shard, which is included.")
    wave: int = Field(default=1, ge=1, description="The wave that is under way; only it is done.")
    credentials: str = Field(
        default="",
        description="Name of a 'Polly Credentials' block; empty: the worker's environment.",
    )

    _is_uuid = field_validator("run_id")(uuid_text)


class BlockEnd(Model):
    """How a block ended; the JSON artifact of its flow run."""

    run_id: RunId
    block: str
    counts: Counts
    through: bool
    """Nothing of it is left to be done."""
    stop: StopReason | None = None
    message: str = ""
