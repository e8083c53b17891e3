import jsonschema
import pytest
from pydantic import ValidationError

from polly_core.models.change import (
    AppendUnique,
    Call,
    Change,
    Join,
    Map,
    Rename,
    Set,
    Step,
    Unset,
    Validation,
    step_kind,
)

EVERY_STEP: tuple[Step, ...] = (
    Set(field="a.b", value=None, when="metadata.x"),
    Unset(field="scratch"),
    Rename(field="species", to="organism"),
    Map(field="organism", vocabulary={"human": "Homo sapiens"}, ignore_case=True),
    Map(field="tissue", source="abstract", vocabulary="v.yaml", match="words", results="all"),
    AppendUnique(field="tags", values=("a", 1)),
    Join(table="t.csv", key="id", field="accession", columns={"x": "y.z"}),
    Call(function="a.b:c", field="abstract", arguments={"n": 1}),
)
EVERYTHING = Change(
    steps=EVERY_STEP, validation=Validation(json_schema="s.json", model="m.n:Model")
)


def test_dump_is_read_back() -> None:
    assert Change.model_validate(EVERYTHING.to_json()) == EVERYTHING


def test_dump_agrees_with_the_exported_schema() -> None:
    schema = Change.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(EVERYTHING.to_json(), schema)
    jsonschema.validate({"steps": [{"rename": "a", "to": "b"}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"steps": [{"rename": "a"}]}, schema)


def test_names_files_and_modules_once_in_order() -> None:
    assert EVERYTHING.files() == ("v.yaml", "t.csv", "s.json")
    assert EVERYTHING.modules() == ("a.b", "m.n")


def test_kind_of_a_step() -> None:
    kinds = [step_kind(step) for step in EVERY_STEP]
    assert kinds == ["set", "unset", "rename", "map", "map", "append_unique", "join", "call"]
    assert step_kind({"set": "a", "unset": "b"}) is None
    assert step_kind("set") is None


def test_a_change_without_steps_takes_the_manifest() -> None:
    assert Change().is_manifest_patch
    assert not EVERYTHING.is_manifest_patch


def test_vocabulary_keys_may_be_numbers() -> None:
    step = Map.model_validate({"map": "organism", "vocabulary": {9606: "Homo sapiens"}})
    assert step.vocabulary == {"9606": "Homo sapiens"}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"sett": "a", "value": 1}, "exactly one of the keys set, unset"),
        ({"set": "a", "unset": "b"}, "exactly one of the keys"),
        ("set", "exactly one of the keys"),
        ({"set": "a"}, "Field required"),
        ({"set": "a", "value": 1, "vlaue": 2}, "Extra inputs are not permitted"),
        ({"set": "@dataset_id", "value": "x"}, "@dataset_id cannot be changed"),
        ({"unset": "@data_type"}, "expected a metadata field"),
        ({"rename": "a", "to": "a.b"}, "lies inside"),
        ({"rename": "a", "to": "a"}, "lies inside"),
        ({"set": "a", "value": float("nan")}, "not JSON compliant"),
        ({"map": "a", "vocabulary": {True: "x"}}, "write it in quotes"),
        ({"map": "a", "vocabulary": {}, "default": 1}, "add unmatched: default"),
        ({"map": "a", "vocabulary": {}, "results": "all"}, "needs match: words"),
        ({"append_unique": "a", "values": []}, "at least 1 item"),
        ({"call": "os.system"}, "expected module:name"),
        ({"call": "a:b", "from": "x"}, "from needs field"),
        ({"call": "a:b", "field": "@study_id"}, "cannot be changed"),
    ],
)
def test_refuses_wrong_steps(step: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Change.model_validate({"steps": [step]})


def test_refuses_an_empty_validation() -> None:
    with pytest.raises(ValidationError, match="schema, model or both"):
        Change.model_validate({"validate": {}})
