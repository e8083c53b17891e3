"""The garbage collector is left as it was found, and still does its work inside."""

import gc
import weakref

import pytest

from flows.heap import importing, settled


class Node:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.own = self


def fail_to_import() -> None:
    with importing():
        assert not gc.isenabled()
        raise ImportError


def test_what_was_there_is_left_out_and_what_comes_is_collected() -> None:
    before = gc.get_freeze_count()
    with settled():
        assert gc.get_freeze_count() > before + 1000
        seen = weakref.ref(Node())
        gc.collect()
        assert seen() is None
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("on", [True, False])
def test_collecting_goes_on_after_imports_as_before(on: bool) -> None:
    was_on = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        with pytest.raises(ImportError):
            fail_to_import()
        assert gc.isenabled() is on
    finally:
        (gc.enable if was_on else gc.disable)()
