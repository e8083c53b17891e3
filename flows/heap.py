"""What the garbage collector need not look at: the modules, which stay as long as the process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled() -> Iterator[None]:
    """Leave out of every collection inside what is there now.

    Prefect's modules are half a million objects. Walking through them three times is a tenth of
    the CPU of a run over thousands of datasets, and finds nothing.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def importing() -> Iterator[None]:
    """Collect nothing inside: what imports make is kept."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
