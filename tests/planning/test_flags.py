import pytest

from polly_core.errors import InvalidInput
from polly_core.models.change import Change, Rename, Set, Unset
from polly_core.models.jsonvalue import JsonValue
from polly_core.planning.flags import change_from_flags


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("true", True),
        ("null", None),
        ('["a", 1]', ["a", 1]),
        ('"3"', "3"),
        ("liver", "liver"),
        ("", ""),
        ("a=b", "a=b"),
        ("NaN", "NaN"),
        ("{broken", "{broken"),
    ],
)
def test_values_are_json_or_text(text: str, value: JsonValue) -> None:
    assert change_from_flags(sets=[f"x={text}"]) == Change(steps=(Set(field="x", value=value),))


def test_order_and_names() -> None:
    change = change_from_flags(
        sets=['a."k=v"=1', "@data_type=Bulk"], unsets=["c.d"], renames=["e=f.g"]
    )
    assert change.steps == (
        Rename(field="e", to="f.g"),
        Set(field='a."k=v"', value=1),
        Set(field="@data_type", value="Bulk"),
        Unset(field="c.d"),
    )


def test_no_flags_make_no_steps() -> None:
    assert change_from_flags() == Change()


@pytest.mark.parametrize(
    ("sets", "unsets", "renames", "message"),
    [
        (["organism"], [], [], "--set organism: expected FIELD=VALUE"),
        (["a..b=1"], [], [], r"--set a..b=1: field 'a..b', position 3"),
        (["@study_id=x"], [], [], "--set @study_id=x: @study_id cannot be changed"),
        ([], ["@data_type"], [], "--unset @data_type: expected a metadata field"),
        ([], [], ["a"], "--rename a: expected OLD=NEW"),
        (["metadata.t=1"], [], [], "--set metadata.t=1: .* did you mean t?"),
        ([], ["metadata.t"], [], "--unset metadata.t: .* did you mean t?"),
        ([], [], ["a=a.b"], "--rename a=a.b: one of a and a.b lies inside"),
    ],
)
def test_refuses_and_names_the_flag(
    sets: list[str], unsets: list[str], renames: list[str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        change_from_flags(sets=sets, unsets=unsets, renames=renames)
