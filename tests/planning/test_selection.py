import pytest

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.selection import Where
from tests.planning.support import record


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("data_type == 'Bulk RNAseq'", False),
        ("starts_with(dataset_id, 'GSE') && last_modified_at > `1`", False),
        ("study_id || !(data_type == 'x')", False),
        ("[dataset_id, data_type][0]", False),
        ("contains(['a', 'b'], data_type)", False),
        ("metadata.organism == 'x'", True),
        ("data_type == 'x' && metadata.tags[?@ == 'y']", True),
        ("length(metadata.samples[*].metadata) > `1`", True),
        ("@", True),
        ("values(@)", True),
        ("*", True),
        ("@ | data_type", True),
        ("sort_by(metadata.samples, &organism)", True),
        ("metadata.{a: organism}", True),
    ],
)
def test_knows_whether_metadata_must_be_read(text: str, needs: bool) -> None:
    assert Where(text).needs_metadata is needs


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("data_type == 'Bulk RNAseq'", True),
        ("study_id", False),
        ("metadata.n == `0`", True),
        ("metadata.n", True),
        ("metadata.empty", False),
        ("metadata.none", False),
        ("metadata.tags[?@ == 'y']", True),
        ("metadata.tags[?@ == 'z']", False),
        ("contains(metadata.tags, 'x') && dataset_id == 'GSE1'", True),
    ],
)
def test_matches_as_jmespath_has_truth(text: str, selected: bool) -> None:
    found = Where(text).matches(record(), {"n": 0, "empty": [], "tags": ["x", "y"]})
    assert found is selected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the expression is empty"),
        ("data_type ==", "position 13, it ends too early"),
        ("data_type = 'x'", "position 11, unexpected '='"),
        ("metadata.n < 3", "position 14, unexpected 3; .*in backticks: `3`"),
        ("metadata.n < `3", "position 14"),
        ("frobnicate(data_type)", r"calls frobnicate\(\), which is unknown"),
        ("organism == 'x'", "asks for 'organism'; .*a metadata field is metadata.organism"),
        ("metdata.organism", "did you mean metadata?"),
        ('data_type == "Bulk"', "a text is written 'Bulk'"),
    ],
)
def test_refuses_wrong_expressions_with_the_position(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        Where(text)
    assert str(caught.value).startswith("--where: ")


@pytest.mark.parametrize(
    ("text", "reason", "found"),
    [
        (
            "contains(metadata.none, 'x')",
            "takes array or string, not null",
            "metadata.none is null",
        ),
        ("metadata.age < `3`", "compares values of different types", 'metadata.age is "12"'),
        ("contains(metadata.age, `3`)", "compares values of different", 'metadata.age is "12"'),
        ("max_by(metadata.l, &@)", "compares values of different", 'metadata.l is [1, "a"]'),
        ("metadata.l[?@ > `0`]", "compares values of different", 'metadata.l is [1, "a"]'),
        ("metadata.l[::0]", "slice step cannot be zero", 'metadata.l is [1, "a"]'),
        ("ceil(to_number(metadata.huge))", "infinity", 'metadata.huge is "1e999"'),
        ("length(metadata.age, metadata.l)", "1 argument", 'metadata.age is "12"'),
    ],
)
def test_names_the_dataset_on_which_it_fails_and_what_stood_there(
    text: str, reason: str, found: str
) -> None:
    where = Where(text)
    metadata: JsonObject = {"age": "12", "l": [1, "a"], "huge": "1e999"}
    with pytest.raises(InvalidInput) as caught:
        where.matches(record(), metadata)
    message = str(caught.value)
    assert message.startswith(f"--where: dataset GSE1: {text!r} cannot be evaluated: ")
    assert reason in message
    assert f", found {found}" in message
    assert "guard the field, as in type(metadata.age) == 'number'" in message


def test_a_guarded_field_may_be_of_any_type() -> None:
    where = Where("type(metadata.age) == 'number' && metadata.age < `3`")
    ages: list[JsonValue] = [2, "12", None, [1]]
    assert [where.matches(record(), {"age": age}) for age in ages] == [True, False, False, False]


@pytest.mark.parametrize("depth", [700, 2000])
def test_an_expression_that_is_nested_too_deeply_is_refused(depth: int) -> None:
    with pytest.raises(InvalidInput, match="too deeply"):
        Where("(" * depth + "metadata.a" + ")" * depth).matches(record(), {})


def test_an_expression_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too deeply"):
        Where(" || ".join(["metadata.a"] * 5000)).matches(record(), {})
