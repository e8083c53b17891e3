"""Request documents: what is refused before anything is sent."""

import re
from typing import Any

import pytest

from polly_core.catalog.envelopes import check_metadata, write_meta
from polly_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({1: "a", "1": "b"}, "found 1 (int) in metadata;"),
        ({"a": {True: "t"}}, "found True (bool) in metadata.a;"),
        ({"a": [{}, {"b": {None: 0}}]}, "found None (NoneType) in metadata.a[1].b;"),
        ({"a": ({2.5: 0},)}, "found 2.5 (float) in metadata.a[0];"),
    ],
)
def test_keys_that_are_no_text_are_refused_where_they_are(metadata: Any, found: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(found)):
        check_metadata(metadata)


def test_keys_of_a_writes_meta_are_text_as_well() -> None:
    priority: Any = {1: "high"}
    with pytest.raises(InvalidInput, match=r"found 1 \(int\) in meta\.ingestion_params;"):
        write_meta(priority, None)


def test_text_keys_are_taken_as_they_are() -> None:
    check_metadata({"": 0, "1": {"ä b": [{"x.y": None}, 1, "t"]}})


@pytest.mark.parametrize("metadata", [["a"], {"n": float("nan")}, {"a": {1, 2}}])
def test_what_is_no_json_object_is_refused(metadata: Any) -> None:
    with pytest.raises(InvalidInput):
        check_metadata(metadata)


def test_deep_nesting_is_no_crash() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidInput, match="not JSON"):
        check_metadata(deep)
