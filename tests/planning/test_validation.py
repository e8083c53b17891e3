import subprocess
import sys

import pytest

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject
from polly_core.planning.validation import Validator
from tests.planning.support import empty_change, loaded

SCHEMA = """
validate:
  schema:
    type: object
    required: [organism, tissue]
    additionalProperties: false
    properties:
      organism: {enum: [Homo sapiens, Mus musculus]}
      tissue: {type: string, minLength: 2}
      age: {type: integer, minimum: 0}
      tags: {type: array, items: {type: string}}
      sample: {type: object, required: [id], properties: {id: {pattern: "^S"}}}
"""
GOOD: JsonObject = {"organism": "Homo sapiens", "tissue": "liver"}


def problems(before: JsonObject, after: JsonObject, text: str = SCHEMA) -> tuple[str, ...]:
    return Validator(loaded(text)).new_problems(before, after)


def test_names_every_new_problem_at_once() -> None:
    after: JsonObject = {
        "organism": "human",
        "age": -1,
        "tags": ["a", 1],
        "sample": {"id": "x"},
        "extra": 1,
    }
    assert problems(GOOD, after) == (
        "the metadata: 'tissue' is a required property",
        "field extra: not allowed by the schema",
        "field age: expected minimum 0, found -1",
        'field organism: expected one of ["Homo sapiens", "Mus musculus"], found "human"',
        'field sample.id: expected to match ^S, found "x"',
        'field tags[1]: expected "string", found 1',
    )


FINE_AS_BEFORE: list[tuple[JsonObject, JsonObject]] = [
    ({}, {"age": 3}),
    ({"organism": "human", "tissue": "x"}, {"organism": "Human", "tissue": "y"}),
    ({**GOOD, "a": 1, "b": 2}, {**GOOD, "b": 3}),
    ({**GOOD, "tags": ["a", 1, "b"]}, {**GOOD, "tags": [1, "c"]}),
    ({**GOOD, "sample": {}}, {**GOOD, "sample": {"x": 1}}),
    ({"age": "old"}, GOOD),
]


@pytest.mark.parametrize(("before", "after"), FINE_AS_BEFORE)
def test_what_was_wrong_before_is_not_the_changes_fault(
    before: JsonObject, after: JsonObject
) -> None:
    assert problems(before, after) == ()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"organism": "human"}, {}, "the metadata: 'organism' is a required property"),
        ({**GOOD, "a": 1}, {**GOOD, "a": 1, "b": 2}, "field b: not allowed by the schema"),
        ({**GOOD, "tags": [1]}, {**GOOD, "tags": [1, 2]}, 'field tags[1]: expected "string"'),
        ({**GOOD, "sample": 1}, {**GOOD, "sample": {"id": "x"}}, "field sample.id: expected"),
    ],
)
def test_what_got_worse_is_named(before: JsonObject, after: JsonObject, message: str) -> None:
    found = problems(before, after)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_schema_from_a_file() -> None:
    content = '{"required": ["a"]}'
    validator = Validator(loaded("validate: {schema: s.json}", {"s.json": content}))
    assert validator.new_problems({"a": 1}, {}) == ("the metadata: 'a' is a required property",)


def test_model() -> None:
    text = "validate: {model: 'tests.planning.called:Sample'}"
    validator = Validator(loaded(text), allowed_modules=["tests.planning.called"])
    after: JsonObject = {"organism": "yeti", "age": -1, "tags": ["a", 1]}
    assert validator.new_problems({"organism": "x"}, after) == (
        "field organism: Value error, no such organism",
        "field age: Input should be greater than or equal to 0",
        "field tags[1]: Input should be a valid string",
    )
    assert validator.new_problems({}, {"age": 1}) == ()
    assert validator.new_problems({}, {"organism": "mistake"}) == (
        "the metadata: Sample raised ZeroDivisionError: oh",
    )
    assert validator.new_problems(after, {**after, "tags": [1]}) == ()


def test_nothing_to_validate() -> None:
    assert Validator(empty_change()).new_problems({}, {"x": 1}) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("validate: {schema: {type: strnig}}", "is no JSON Schema: at type"),
        ("validate: {schema: s.json}", "s.json: expected a JSON Schema object"),
        ("validate: {model: 'os:path'}", "module os is not allowed"),
        ("validate: {model: 'tests.planning.called:shout'}", "is no pydantic model"),
    ],
)
def test_refuses_at_once(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Validator(loaded(text, {"s.json": "[]"}), allowed_modules=["tests.planning.called"])


def test_the_schema_library_is_imported_only_where_it_is_needed() -> None:
    code = (
        "import sys; from polly_core.planning.validation import Validator; "
        "sys.exit('jsonschema' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_never_fetches_what_a_schema_refers_to() -> None:
    text = "validate: {schema: {properties: {a: {$ref: 'http://127.0.0.1:9/s.json'}}}}"
    with pytest.raises(InvalidInput, match=r"refers to 'http://127.0.0.1:9/s.json', which is not"):
        problems({}, {"a": 1}, text)
    text = "validate: {schema: {properties: {a: {$ref: '#/$defs/n'}}, $defs: {n: {type: number}}}}"
    assert problems({}, {"a": "x"}, text) == ('field a: expected "number", found "x"',)
