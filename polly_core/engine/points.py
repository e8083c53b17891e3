"""The numbered points in an item's life, where tests stop the process."""

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    """What is durable, or has just happened, at each point (architecture.md §4)."""

    FROZEN = "c1"
    OWNED = "c2"
    READ = "c3"
    PLANNED = "c4"
    INTENDED = "c5"
    SENDING = "c6"
    ANSWERED = "c7"
    RECORDED = "c8"
    VERIFYING = "c9"
    VERIFIED = "c10"
    REPORTED = "c11"
    STATE_SET = "c12"


Hook = Callable[[Point], None]


def pass_by(_point: Point) -> None:
    """The hook of a run that nobody disturbs."""
