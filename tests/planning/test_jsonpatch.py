"""The step patch: RFC 6902."""

import copy

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.errors import InvalidInput
from polly_core.models.change import Change, JsonPatch, PatchEntry
from polly_core.models.jsonvalue import JsonObject, JsonValue, canonical_json
from polly_core.planning.diff import diff, op_json
from polly_core.planning.resources import Loaded, change_of
from polly_core.planning.steps import Evaluator, StepFailed
from tests.planning.support import on_a_busy_machine, record
from tests.planning.test_diff import documents, keys, values


def patched(entries: list[JsonObject], metadata: JsonObject) -> JsonObject:
    change = change_of({"steps": [{"patch": list[JsonValue](entries)}]}, "change.json")
    return Evaluator(Loaded(change)).evaluate(record(), metadata).metadata


def test_the_operations() -> None:
    before: JsonObject = {"a": {"b": [1, 2]}, "c": "x", "d/e": {"~": 1}}
    untouched = copy.deepcopy(before)
    after = patched(
        [
            {"op": "test", "path": "/c", "value": "x"},
            {"op": "replace", "path": "/c", "value": ["y"]},
            {"op": "add", "path": "/a/b/1", "value": 9},
            {"op": "add", "path": "/a/b/-", "value": 3},
            {"op": "remove", "path": "/a/b/0"},
            {"op": "move", "from": "/d~1e/~0", "path": "/f"},
            {"op": "copy", "from": "/a/b", "path": "/g"},
            {"op": "test", "path": "/g", "value": [9.0, 2, 3]},
        ],
        before,
    )
    assert after == {"a": {"b": [9, 2, 3]}, "c": ["y"], "d/e": {}, "f": 1, "g": [9, 2, 3]}
    assert before == untouched


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"op": "test", "path": "/a", "value": 2}, "/a (operation 2, test): expected 2, found 1"),
        ({"op": "test", "path": "/a", "value": True}, "expected true, found 1"),
        ({"op": "test", "path": "/z", "value": None}, "expected null, found nothing"),
        ({"op": "replace", "path": "/z", "value": 1}, "expected a value at /z, found nothing"),
        ({"op": "remove", "path": "/l/2"}, "expected a value at /l/2, found nothing"),
        ({"op": "add", "path": "/l/3", "value": 1}, "expected an index from 0 to 2 or -, found 3"),
        ({"op": "add", "path": "/l/01", "value": 1}, "found 01"),
        ({"op": "add", "path": "/y/z", "value": 1}, "expected 'y' on the way to exist"),
        ({"op": "add", "path": "/a/z", "value": 1}, "an object or a list to hold it, found 1"),
        ({"op": "copy", "from": "/z", "path": "/q"}, "/q (operation 2, copy): expected a value"),
        ({"op": "remove", "path": ""}, "expected it to stay an object, found null"),
    ],
)  # fmt: skip
def test_a_failing_operation_refuses_the_dataset(entry: JsonObject, message: str) -> None:
    before: JsonObject = {"a": 1, "l": [1, 2]}
    with pytest.raises(StepFailed) as caught:
        patched([{"op": "add", "path": "/made", "value": 1}, entry], before)
    assert message in str(caught.value)
    assert str(caught.value).startswith("step 1 (patch): field ")
    assert before == {"a": 1, "l": [1, 2]}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"op": "test", "path": "/a"}, "step 1 (patch), patch.0: test needs value"),
        ({"op": "move", "path": "/a"}, "move needs from"),
        ({"op": "move", "path": "/a/b", "from": "/a"}, "/a cannot be moved into itself"),
        ({"op": "add", "path": "a", "value": 1}, "expected a JSON pointer like /organism"),
        ({"op": "add", "path": "/~2", "value": 1}, "~ is written ~0"),
        ({"op": "set", "path": "/a", "value": 1}, "patch.0.op"),
    ],
)
def test_what_is_no_patch_is_refused_at_once(entry: JsonObject, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        change_of({"steps": [{"patch": [entry]}]}, "change.yaml")
    assert message in str(caught.value)


def test_members_the_rfc_does_not_know_are_ignored() -> None:
    entry: JsonObject = {"op": "replace", "path": "/a", "value": 2, "before": 1}
    assert patched([entry], {"a": 1}) == {"a": 2}


def test_from_python_and_back() -> None:
    entries = (
        PatchEntry(op="test", path="/a", value=None),
        PatchEntry(op="move", source="/a", path="/b"),
        PatchEntry(op="remove", path="/b"),
    )
    change = Change(steps=(JsonPatch(entries=entries, when="metadata.c"),))
    assert Change.model_validate(change.to_json()) == change
    compiled = Evaluator(Loaded(change))
    assert compiled.evaluate(record(), {"a": None, "c": 1}).metadata == {"c": 1}
    assert compiled.evaluate(record(), {"a": 1}).metadata == {"a": 1}, "when says no"


@on_a_busy_machine
@given(documents, documents)
def test_it_applies_our_own_patches(before: JsonObject, after: JsonObject) -> None:
    entries = [op_json(op) for op in diff(before, after)]
    if entries:
        assert canonical_json(patched(entries, before)) == canonical_json(after)


pointers = st.lists(st.one_of(keys, st.sampled_from(["0", "1", "-"])), min_size=1, max_size=3).map(
    lambda found: "".join("/" + k.replace("~", "~0").replace("/", "~1") for k in found)
)
entries_of = st.one_of(
    st.builds(
        lambda op, path, value: {"op": op, "path": path, "value": value},
        st.sampled_from(["add", "replace"]), pointers, values,
    ),
    st.builds(lambda path: {"op": "remove", "path": path}, pointers),
    st.builds(lambda a, b: {"op": "copy", "from": a, "path": b}, pointers, pointers),
)  # fmt: skip


@on_a_busy_machine
@given(documents, st.lists(entries_of, min_size=1, max_size=3))
def test_it_agrees_with_another_implementation(
    before: JsonObject, entries: list[JsonObject]
) -> None:
    try:
        wanted = jsonpatch.apply_patch(before, entries)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError):
        with pytest.raises(StepFailed):
            patched(entries, before)
    else:
        assert canonical_json(patched(entries, before)) == canonical_json(wanted)
