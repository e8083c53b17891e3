import pytest

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.steps import StepFailed
from tests.planning.support import evaluate, evaluator

MODULE = "tests.planning.called"


def called(step: str, metadata: JsonObject) -> JsonObject:
    text = f"steps: [{{call: {MODULE}:{step}}}]"
    return evaluate(text, metadata, allowed=[MODULE]).metadata


def test_gives_value_dataset_and_arguments() -> None:
    made = called("shout, field: b, from: a.c, arguments: {mark: '?'}", {"a": {"c": "x"}})
    assert made == {"a": {"c": "x"}, "b": "x GSE1?"}


def test_a_function_gets_copies() -> None:
    before: JsonObject = {"inner": {"x": 1}, "l": ["a"]}
    assert called("spoil_then_return", before) == {
        "inner": {"x": 1, "spoiled": True},
        "l": ["a"],
        "seen": ["Bulk RNAseq", None],
    }
    assert called("spoil_value, field: m, from: l", before)["m"] == ["a", "spoiled"]
    assert before == {"inner": {"x": 1}, "l": ["a"]}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            "fail, field: a",
            r"step 1 \(call\): field a: expected .*:fail to return a value, found Key",
        ),
        ("not_json, field: a", r"to return JSON, found a set at the top.ok\[1\]"),
        ("endless, field: a", r"found inf at the top\[0\]"),
        ("wrong_kind", r'to return an object, found "metadata"'),
        ("leave, field: a", r"called:leave to return a value, found SystemExit: 3"),
        ("be_odd, field: a", r"called:be_odd to return a value, found Odd: oh"),
        ("shout, field: b, from: nope", "field nope: expected it to exist"),
        ("shout, field: a, arguments: {volume: 11}", "found TypeError"),
    ],
)
def test_a_failing_function_is_this_items_failure(step: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        called(step, {"a": 1})


@pytest.mark.parametrize(
    ("function", "allowed", "message"),
    [
        ("os:system", [MODULE], r"module os is not allowed \(allowed: tests.planning.called\)"),
        (f"{MODULE}:shout", [], r"allowed: none\).*POLLY_ALLOWED_MODULES"),
        (f"{MODULE}:shout", ["tests.planning"], "is not allowed"),
        (f"{MODULE}:nope", [MODULE], "has no 'nope'"),
        (f"{MODULE}:NOT_A_FUNCTION", [MODULE], "is no function"),
        ("tests.planning.gone:f", ["tests.planning.gone"], "cannot be imported: ModuleNotFound"),
    ],
)
def test_refuses_functions_at_once(function: str, allowed: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        evaluator(f"steps: [{{call: '{function}', field: a}}]", allowed=allowed)
