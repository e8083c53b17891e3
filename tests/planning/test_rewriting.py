"""The steps split, cast, replace and compute."""

import copy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polly_core.errors import InvalidInput
from polly_core.models.change import Cast, Change, Compute, Replace, Split
from polly_core.models.jsonvalue import JsonObject, JsonValue, canonical_json
from polly_core.planning.resources import Loaded, change_of
from polly_core.planning.steps import Evaluator, StepFailed
from tests.planning.support import evaluate, evaluator, on_a_busy_machine, record, result
from tests.planning.test_diff import values


def refusal(text: str, metadata: JsonObject) -> str:
    with pytest.raises(StepFailed) as caught:
        evaluate(f"steps: [{text}]", metadata)
    [reason] = caught.value.reasons
    return reason


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("{split: a, separator: '|'}", {"a": "x | y||z "}, {"a": ["x", "y", "z"]}),
        ("{split: a, separator: '|', strip: false}", {"a": "x | y||"}, {"a": ["x ", " y", "", ""]}),
        ("{split: a, separator: ';', unique: true}", {"a": "x;y;x"}, {"a": ["x", "y"]}),
        ("{split: a, separator: ';'}", {"a": ["x;y", "z"]}, {"a": ["x", "y", "z"]}),
        ("{split: a, separator: ';'}", {"a": ""}, {"a": []}),
        (r"{split: a, pattern: '(,|;)\s*'}", {"a": "x, y;z"}, {"a": ["x", "y", "z"]}),
        ("{split: t, from: a, separator: ','}", {"a": "x,y"}, {"a": "x,y", "t": ["x", "y"]}),
        (
            "{split: a, separator: ' ', into: [n.value, n.unit]}",
            {"a": "40 years"},
            {"a": "40 years", "n": {"value": "40", "unit": "years"}},
        ),
        ("{split: a, separator: ',', missing: skip}", {}, {}),
        ("{cast: a, to: int}", {"a": " 42 "}, {"a": 42}),
        ("{cast: a, to: int}", {"a": "-42.0"}, {"a": -42}),
        ("{cast: a, to: int}", {"a": 42.0}, {"a": 42}),
        ("{cast: a, to: int}", {"a": ["1", 2, None]}, {"a": [1, 2, None]}),
        ("{cast: a, to: int, unmatched: keep}", {"a": ["1", "x"]}, {"a": [1, "x"]}),
        ("{cast: a, to: int, unmatched: unset}", {"a": ["1", "x", None]}, {"a": [1, None]}),
        ("{cast: a, to: int, unmatched: unset}", {"a": "x", "b": 1}, {"b": 1}),
        ("{cast: a, to: float}", {"a": "1e3"}, {"a": 1000.0}),
        ("{cast: a, to: float}", {"a": 3}, {"a": 3.0}),
        ("{cast: a, to: str}", {"a": [1, 1.5, True]}, {"a": ["1", "1.5", "true"]}),
        ("{cast: a, to: bool}", {"a": ["TRUE", "0", 1]}, {"a": [True, False, True]}),
        ("{cast: a, to: bool}", {"a": None}, {"a": None}),
        (r"{replace: a, pattern: '\s+', with: ' '}", {"a": "x \n y"}, {"a": "x y"}),
        (r"{replace: a, pattern: '(\w+)@(\w+)', with: '\2 at \1'}", {"a": "x@y"}, {"a": "y at x"}),
        (r"{replace: a, pattern: '(?P<n>\d)', with: '-\g<n>', count: 1}", {"a": "1"}, {"a": "-1"}),
        ("{replace: a, pattern: X, with: y, ignore_case: true}", {"a": ["x"]}, {"a": ["y"]}),
        ("{replace: b, from: a, pattern: x, with: ''}", {"a": "xy"}, {"a": "xy", "b": "y"}),
        ("{replace: a, pattern: q, with: r}", {"a": "xy"}, {"a": "xy"}),
        ("{compute: n, expression: length(metadata.i)}", {"i": [1, 2]}, {"i": [1, 2], "n": 2}),
        ("{compute: n, expression: metadata.x, unmatched: keep}", {"n": 1}, {"n": 1}),
        ("{compute: n, expression: metadata.x, unmatched: unset}", {"n": 1}, {}),
        ("{compute: n, expression: metadata.x, unmatched: default}", {"n": 1}, {"n": None}),
        ("{compute: n, expression: metadata.x, unmatched: default, default: 7}", {}, {"n": 7}),
        ("{compute: n, expression: '`0`', unmatched: keep}", {"n": 1}, {"n": 0}),
        ("{split: a, separator: ',', when: metadata.no}", {"a": "x,y"}, {"a": "x,y"}),
        ("{cast: a, to: int, when: metadata.no}", {"a": "x"}, {"a": "x"}),
        ("{replace: a, pattern: x, with: y, when: metadata.no}", {"a": "x"}, {"a": "x"}),
        ("{compute: a, expression: dataset_id, when: metadata.no}", {"a": "x"}, {"a": "x"}),
    ],
)  # fmt: skip
def test_what_the_steps_make(step: str, before: JsonObject, after: JsonObject) -> None:
    untouched = copy.deepcopy(before)
    made = result(f"steps: [{step}]", before)
    assert canonical_json(made) == canonical_json(after)
    assert before == untouched


@pytest.mark.parametrize(
    ("step", "metadata", "message"),
    [
        ("{split: a, separator: ','}", {"a": 3}, "step 1 (split): field a: expected a text or a"),
        ("{split: a, separator: ','}", {"a": ["x", 3]}, 'found ["x", 3]'),
        ("{split: a, separator: ','}", {"b": 3}, "field a: expected it to exist"),
        (
            "{split: a, separator: ' ', into: [b, c]}",
            {"a": "x y z"},
            'field a: expected 2 parts, found 3 in "x y z"',
        ),
        (
            "{cast: a, to: int}",
            {"a": "4.5"},
            'step 1 (cast): field a: expected what can be a whole number without loss, found "4.5"',
        ),
        ("{cast: a, to: int}", {"a": "1E+05"}, 'found "1E+05"'),
        ("{cast: a, to: int}", {"a": True}, "found true"),
        ("{cast: a, to: float}", {"a": "inf"}, 'found "inf"'),
        ("{cast: a, to: float}", {"a": 2**53 + 1}, "without loss"),
        ("{cast: a, to: bool}", {"a": "yes"}, "true or false"),
        ("{cast: a, to: str}", {"a": {"b": 1}}, "a text"),
        ("{cast: '@data_type', to: int}", {}, "field @data_type"),
        (
            "{replace: a, pattern: x, with: y, unmatched: fail}",
            {"a": "z"},
            "step 1 (replace): field a: expected 'x' to be found in it, found \"z\"",
        ),
        ("{compute: n, expression: metadata.x}", {}, "field n: expected 'metadata.x' to give a"),
        ("{compute: n, expression: length(metadata.x)}", {"x": 1}, "cannot be evaluated"),
        ("{compute: n, expression: '&metadata.x'}", {"x": 1}, "to give JSON"),
    ],
)
def test_refusals_name_step_field_expected_and_found(
    step: str, metadata: JsonObject, message: str
) -> None:
    assert message in refusal(step, metadata)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"split": "a"}, "step 1 (split), expected either separator or pattern"),
        ({"split": "a", "separator": ",", "pattern": ","}, "either separator or pattern"),
        ({"split": "a", "separator": ",", "into": ["a", "b"]}, "differ from each other and from a"),
        ({"cast": "a", "to": "date"}, "step 1 (cast), to: Input should be 'int', 'float'"),
        ({"replace": "a", "pattern": "x"}, "step 1 (replace), with: Field required"),
        ({"replace": "a", "pattern": "x" * 3000, "with": ""}, "at most 2000 characters"),
        ({"compute": "a", "expression": "metadata", "default": 1}, "add unmatched: default"),
        ({"cast": "a", "to": "int", "split": "b"}, "exactly one of the keys"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(step: JsonObject, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        change_of({"steps": [step]}, "change.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("{replace: a, pattern: '(', with: x}", "step 1 (replace): '(' is no regular expression"),
        (r"{replace: a, pattern: x, with: '\1'}", r"with '\\1' cannot be used"),
        (r"{replace: a, pattern: x, with: '\g<n>'}", "cannot be used"),
        ("{split: a, pattern: '['}", "step 1 (split): '[' is no regular expression"),
        ("{compute: a, expression: 'metadata.'}", "step 1 (compute), expression:"),
        ("{compute: a, expression: title}", "a metadata field is metadata.title"),
    ],
)
def test_what_cannot_be_compiled_is_refused_before_any_dataset(step: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        evaluator(f"steps: [{step}]")
    assert message in str(caught.value)


@pytest.mark.parametrize("step", ["replace: a, with: y", "split: a"])
def test_a_pattern_that_would_never_end_refuses_the_dataset(step: str) -> None:
    text = f"{{{step}, pattern: '(a|aa)+$'}}"
    began = time.monotonic()
    reason = refusal(text, {"a": "a" * 80 + "b"})
    assert "to be found within 1 s" in reason
    assert "repetitions inside of repetitions" in reason
    assert time.monotonic() - began < 30, "a busy machine included"


def test_the_steps_from_python() -> None:
    steps = (
        Split(field="tags", separator="|"),
        Cast(field="age", to="int"),
        Replace(field="title", pattern="  +", replacement=" "),
        Compute(field="number", expression="length(metadata.tags)"),
    )
    change = Change(steps=steps)
    assert Change.model_validate(change.to_json()) == change
    made = Evaluator(Loaded(change)).evaluate(
        record(), {"tags": "x|y", "age": "3", "title": "a   b"}
    )
    assert made.metadata == {"tags": ["x", "y"], "age": 3, "title": "a b", "number": 2}


texts = st.text(st.sampled_from("ab ,;|\n\\"), max_size=12)


@on_a_busy_machine
@given(st.one_of(texts, st.lists(texts, max_size=4)), st.booleans(), st.booleans())
def test_splitting_twice_is_splitting_once(value: JsonValue, strip: bool, unique: bool) -> None:
    for how in ({"separator": ","}, {"pattern": "[,;]\\s*"}):
        step = Split.model_validate({"split": "a", "strip": strip, "unique": unique, **how})
        _done_twice(Change(steps=(step,)), {"a": value})


@on_a_busy_machine
@given(st.one_of(values, st.lists(st.one_of(texts, st.from_regex(r"-?\d+(\.\d)?\Z")), max_size=3)))
def test_casting_twice_is_casting_once(value: JsonValue) -> None:
    for to in ("int", "float", "str", "bool"):
        step = Cast.model_validate({"cast": "a", "to": to, "unmatched": "keep"})
        _done_twice(Change(steps=(step,)), {"a": value})


@on_a_busy_machine
@given(texts)
def test_replacing_what_is_not_found_again_is_done_once(text: str) -> None:
    step = Replace(field="a", pattern=r"\s+", replacement="_")
    _done_twice(Change(steps=(step,)), {"a": text})


@on_a_busy_machine
@given(st.dictionaries(st.sampled_from("abc"), values))
def test_computing_twice_is_computing_once(metadata: JsonObject) -> None:
    step = Compute(field="d", expression="metadata.a", unmatched="default")
    _done_twice(Change(steps=(step,)), metadata)


def _done_twice(change: Change, metadata: JsonObject) -> None:
    compiled = Evaluator(Loaded(change))
    once = compiled.evaluate(record(), metadata).metadata
    assert compiled.evaluate(record(), once).metadata is once, "nothing left to do"
