import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue, canonical_json
from polly_core.models.run import PatchOp
from polly_core.planning.diff import apply_patch, diff, invert, op_json, pointer_keys, unmet
from tests.planning.support import on_a_busy_machine

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "ü"]),
)  # fmt: skip
keys = st.sampled_from(["a", "b", "a/b", "a~b", "~1", "", "ü", "ab"])
values: st.SearchStrategy[JsonValue] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=12,
)
documents: st.SearchStrategy[JsonObject] = st.dictionaries(keys, values, max_size=5)


@on_a_busy_machine
@given(documents, documents)
def test_patch_leads_there_and_back(before: JsonObject, after: JsonObject) -> None:
    untouched = copy.deepcopy((before, after))
    ops = diff(before, after)
    there = apply_patch(before, ops)
    assert canonical_json(there) == canonical_json(after)
    assert canonical_json(apply_patch(after, invert(ops))) == canonical_json(before)
    assert canonical_json([before, after]) == canonical_json(list(untouched))


@on_a_busy_machine
@given(documents, documents)
def test_no_patch_exactly_for_the_same_canonical_form(left: JsonObject, right: JsonObject) -> None:
    assert (diff(left, right) == ()) == (canonical_json(left) == canonical_json(right))


@on_a_busy_machine
@given(documents, documents)
def test_inverse_of_the_inverse_is_the_patch(before: JsonObject, after: JsonObject) -> None:
    ops = diff(before, after)
    assert invert(invert(ops)) == ops
    assert [op.path for op in invert(ops)] == [op.path for op in diff(after, before)]


@on_a_busy_machine
@given(documents, documents)
def test_every_expectation_is_met_where_it_was_planned(
    before: JsonObject, after: JsonObject
) -> None:
    ops = diff(before, after)
    assert unmet(before, ops) == ()
    assert unmet(after, ops) == ops
    assert unmet(after, invert(ops)) == ()


@on_a_busy_machine
@given(documents, documents)
def test_json_form_is_read_back_and_means_the_same(before: JsonObject, after: JsonObject) -> None:
    ops = diff(before, after)
    stored = [PatchOp.model_validate(json.loads(json.dumps(op_json(op)))) for op in ops]
    assert apply_patch(before, stored) == apply_patch(before, ops)
    assert [op_json(op) for op in stored] == [op_json(op) for op in ops]


@on_a_busy_machine
@given(st.permutations([f"k{number}" for number in range(6)]))
def test_order_of_keys_changes_nothing(order: list[str]) -> None:
    before: JsonObject = {key: {"x": 1, "y": 2} for key in sorted(order)}
    after: JsonObject = {key: {"y": 2, "x": 1} for key in order}
    assert diff(before, after) == ()
    after = {key: {"y": 2, "x": 3} for key in order}
    assert [op.path for op in diff(before, after)] == [f"/{key}/x" for key in sorted(order)]


@pytest.mark.parametrize(
    ("old", "new"), [(1, 1.0), (1, True), (0, False), (0.0, -0.0), ("1", 1), (None, False)]
)
def test_values_that_python_takes_for_equal_differ(old: JsonValue, new: JsonValue) -> None:
    assert len(diff({"x": old}, {"x": new})) == 1
    assert len(diff({"x": [old]}, {"x": [new]})) == 1


def test_lists_are_replaced_as_a_whole() -> None:
    assert diff({"tags": ["a", "b"]}, {"tags": ["a", "c"]}) == (
        PatchOp(op="replace", path="/tags", value=["a", "c"], before=["a", "b"]),
    )


def test_kinds_of_operation_and_escaping() -> None:
    ops = diff({"a/b": 1, "c": {"~": 1, "x": None}}, {"c": {"x": [], "y": {"z": 1}}})
    assert [op_json(op) for op in ops] == [
        {"op": "remove", "path": "/a~1b", "before": 1},
        {"op": "replace", "path": "/c/x", "value": [], "before": None},
        {"op": "add", "path": "/c/y", "value": {"z": 1}},
        {"op": "remove", "path": "/c/~0", "before": 1},
    ]


def test_foreign_edits_are_seen_in_what_is_unmet() -> None:
    ops = diff({"a": 1, "b": {"c": 1}}, {"a": 2, "b": {"c": 2}, "d": 1})
    assert [op.path for op in unmet({"a": 1, "b": 5, "d": 0}, ops)] == ["/b/c", "/d"]


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (PatchOp(op="remove", path="/x", before=1), "cannot remove /x: there is no such field"),
        (PatchOp(op="replace", path="/x", value=1, before=1), "cannot replace /x"),
        (PatchOp(op="add", path="/a/x", value=1), "'a' on the way is no object"),
        (PatchOp(op="add", path="/n/x", value=1), "'n' on the way is no object"),
    ],
)
def test_refuses_a_patch_that_does_not_fit(op: PatchOp, message: str) -> None:
    document: JsonObject = {"a": [1]}
    with pytest.raises(InvalidInput, match=message):
        apply_patch(document, [op])
    assert document == {"a": [1]}


def test_refuses_the_root_as_a_pointer() -> None:
    with pytest.raises(InvalidInput, match="expected a JSON pointer"):
        pointer_keys("")
