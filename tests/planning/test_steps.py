import copy
from collections.abc import Mapping

import pytest

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.steps import Evaluator, StepFailed
from tests.planning.support import empty_change, evaluate, evaluator, record, result


def reasons(text: str, metadata: JsonObject, files: Mapping[str, str] | None = None) -> str:
    with pytest.raises(StepFailed) as caught:
        evaluate(text, metadata, files)
    return "\n".join(caught.value.reasons)


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("{set: a, value: 1}", {}, {"a": 1}),
        ("{set: a, value: null}", {"a": 1}, {"a": None}),
        ("{set: a.b.c, value: [x]}", {"a": {"z": 1}}, {"a": {"z": 1, "b": {"c": ["x"]}}}),
        ("{set: 'a.\"b.c\"', value: no}", {}, {"a": {"b.c": "no"}}),
        ("{unset: a}", {"a": None, "b": 1}, {"b": 1}),
        ("{unset: a.b}", {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
        ("{unset: a.b}", {"a": 1}, {"a": 1}),
        ("{rename: a, to: b.c}", {"a": 1}, {"b": {"c": 1}}),
        ("{rename: a, to: b}", {"b": 1}, {"b": 1}),
        ("{rename: a, to: b}", {"a": 1, "b": 1}, {"b": 1}),
        ("{rename: a, to: b, existing: overwrite}", {"a": 1, "b": 2}, {"b": 1}),
        ("{rename: a, to: b, existing: keep}", {"a": 1, "b": 2}, {"b": 2}),
        ("{rename: a, to: b, missing: skip}", {"c": 1}, {"c": 1}),
        ("{append_unique: t, values: [a, b]}", {"t": ["b"]}, {"t": ["b", "a"]}),
        ("{append_unique: t, values: [a, a]}", {}, {"t": ["a"]}),
        ("{append_unique: t, values: [1]}", {"t": [1.0, True]}, {"t": [1.0, True, 1]}),
    ],
)
def test_simple_steps(step: str, before: JsonObject, after: JsonObject) -> None:
    untouched = copy.deepcopy(before)
    made = result(f"steps: [{step}]", before)
    assert made == after
    assert before == untouched
    assert result(f"steps: [{step}]", made) == made, "the second time changes nothing"


def test_what_is_not_changed_is_shared() -> None:
    before: JsonObject = {"big": {"x": [1]}, "a": {"b": {"c": 1}, "d": {"e": 1}}}
    after = result("steps: [{set: a.b.c, value: 2}]", before)
    assert after["big"] is before["big"]
    inner, old = after["a"], before["a"]
    assert isinstance(inner, dict)
    assert isinstance(old, dict)
    assert inner["d"] is old["d"]


def test_no_change_gives_the_same_object() -> None:
    before: JsonObject = {"a": {"b": 1}, "t": ["x"]}
    text = "steps: [{set: a.b, value: 1}, {append_unique: t, values: [x]}, {unset: nothing}]"
    assert result(text, before) is before


def test_steps_see_what_was_done_before_them() -> None:
    text = """
    steps:
      - {rename: species, to: organism}
      - {map: organism, vocabulary: {human: Homo sapiens}}
      - {set: "@data_type", value: Single cell, when: "metadata.organism == 'Homo sapiens'"}
      - {set: kind, value: cells, when: "data_type == 'Single cell'"}
    """
    made = evaluate(text, {"species": "human"})
    assert made.metadata == {"organism": "Homo sapiens", "kind": "cells"}
    assert made.data_type == "Single cell"


@pytest.mark.parametrize(
    ("when", "done"),
    [
        ("metadata.n < `3`", True),
        ("metadata.n > `3`", False),
        ("metadata.missing", False),
        ("metadata.empty", False),
        ("metadata.zero", True),
        ("study_id == 'S1' && dataset_id == 'GSE7'", True),
        ("last_modified_at > `1600000000000`", True),
        ("contains(metadata.tags, 'x')", True),
    ],
)
def test_when_limits_a_step(when: str, done: bool) -> None:
    metadata: JsonObject = {"n": 2, "zero": 0, "empty": "", "tags": ["x"]}
    compiled = evaluator(f'steps: [{{set: done, value: true, when: "{when}"}}]')
    made = compiled.evaluate(record("GSE7", study_id="S1"), metadata)
    assert ("done" in made.metadata) == done


def test_names_step_field_expected_and_found() -> None:
    text = """
    steps:
      - {set: ok, value: 1}
      - {set: a.b, value: 1}
      - {append_unique: tags, values: [x]}
      - {rename: old, to: taken}
      - {set: "@data_type", value: ""}
      - {set: z, value: 1, when: "contains(metadata.n, 'x')"}
    """
    found = reasons(text, {"a": "text", "tags": "x", "old": 1, "taken": {"k": 2}, "n": 1})
    lines = found.splitlines()
    assert len(lines) == 5, "the steps after a failure are tried as well"
    assert lines[0] == 'step 2 (set): field a.b: expected an object in a, found "text"'
    assert lines[1] == 'step 3 (append_unique): field tags: expected a list, found "x"'
    assert lines[2].startswith("step 4 (rename): field taken: expected it to be free for the value")
    assert lines[2].endswith('found {"k": 2}; say existing: overwrite or keep')
    assert lines[3].startswith("step 5 (set): field @data_type: expected a text")
    assert lines[4] == (
        "step 6 (set): when: \"contains(metadata.n, 'x')\" cannot be evaluated: "
        "contains() takes array or string, not number, found metadata.n is 1"
    )


def test_long_values_are_cut_in_messages() -> None:
    found = reasons("steps: [{append_unique: a, values: [x]}]", {"a": "y" * 10_000})
    assert len(found) < 250
    assert "10002 characters" in found


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"organism": "x"}, "found no such field in the metadata; did you mean organism?"),
        ({"alpha": 1, "beta": 2}, "found in the metadata: alpha, beta"),
        ({}, "the metadata is empty"),
    ],
)
def test_a_field_that_is_missing_is_named_with_what_is_there(
    metadata: JsonObject, message: str
) -> None:
    found = reasons("steps: [{map: organsm, vocabulary: {a: b}}]", metadata)
    assert found.startswith("step 1 (map): field organsm: expected it to exist, ")
    assert message in found


def test_a_nested_field_that_is_missing() -> None:
    text = "steps: [{rename: sample.organsm, to: x}]"
    assert "did you mean sample.organism?" in reasons(text, {"sample": {"organism": 1}})
    assert 'found "s" in sample' in reasons(text, {"sample": "s"})


def test_a_missing_field_that_is_allowed_changes_nothing() -> None:
    made = evaluate("steps: [{unset: a}, {map: b, vocabulary: {x: y}, missing: skip}]", {"c": 1})
    assert made.metadata == {"c": 1}


def test_unset_fails_only_where_asked() -> None:
    assert "step 1 (unset): field a" in reasons("steps: [{unset: a, missing: fail}]", {"b": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [{set: a, value: 1, when: 'a =='}]", r"step 1 \(set\), when: 'a ==' is no JMES"),
        ("steps: [{set: a, value: 1, when: 'organism'}]", "a metadata field is metadata.organism"),
    ],
)
def test_refuses_wrong_expressions_at_once(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        evaluator(text)


def test_the_manifest_row_is_the_change_where_there_are_no_steps() -> None:
    row: JsonObject = {
        "metadata.organism": "Homo sapiens",
        "metadata.sample.age": 7,
        "data_type": "Single cell",
        "note": "ignored",
    }
    before: JsonObject = {"organism": "human", "sample": {"sex": "f"}}
    made = Evaluator(empty_change()).evaluate(record(), before, row)
    assert made.metadata == {"organism": "Homo sapiens", "sample": {"sex": "f", "age": 7}}
    assert made.data_type == "Single cell"


def test_an_object_in_a_json_row_sets_its_members() -> None:
    row: JsonObject = {"metadata": {"a.b": 1, "c": None}}
    made = Evaluator(empty_change()).evaluate(record(), {"c": 1, "d": 2}, row)
    assert made.metadata == {"c": None, "d": 2, "a.b": 1}


def test_no_row_and_no_steps_change_nothing() -> None:
    before: JsonObject = {"a": 1}
    assert Evaluator(empty_change()).evaluate(record(), before).metadata is before


def test_a_row_that_does_not_fit_is_refused() -> None:
    row: JsonObject = {"metadata.a.b": "x"}
    with pytest.raises(StepFailed, match=r"manifest row: field a.b: expected an object in a"):
        Evaluator(empty_change()).evaluate(record(), {"a": 1}, row)


def test_with_steps_the_row_only_selects() -> None:
    made = evaluator("steps: [{set: a, value: 1}]").evaluate(record(), {}, {"metadata.b": 2})
    assert made.metadata == {"a": 1}


def test_the_same_input_gives_the_same_result_in_any_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    compiled = evaluator(
        "steps: [{set: n, value: 1, when: 'metadata.x > `5`'}, "
        "{map: t, from: text, match: words, results: all, vocabulary: {b: B, a: A}}]"
    )
    inputs: list[JsonValue] = [{"x": n, "text": f"a b {n}"} for n in range(200)]

    def run(metadata: JsonValue) -> JsonObject:
        assert isinstance(metadata, dict)
        return compiled.evaluate(record(), metadata).metadata

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, inputs)) == list(map(run, inputs))
