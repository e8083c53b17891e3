"""The steps ``split`` and ``replace``."""

from collections.abc import Callable

from polly_core.models.change import Replace, Split
from polly_core.models.fieldpath import parse_field
from polly_core.models.jsonvalue import JsonValue
from polly_core.planning.patterns import CompiledPattern
from polly_core.planning.state import Action, Refused, State
from polly_core.planning.values import shown

_Parts = Callable[[str], list[str]]


def split(title: str, step: Split) -> Action:
    """Compile the step.

    Raises:
        InvalidInput: the pattern is no regular expression.
    """
    source = step.source or step.field
    cut = _cut(title, step, source)
    return _into_fields(step, cut) if step.into is not None else _into_list(step, source, cut)


def _cut(title: str, step: Split, source: str) -> _Parts:
    if step.separator is not None:
        separator = step.separator
        return lambda text: text.split(separator)
    assert step.pattern is not None
    pattern = CompiledPattern(title, step.pattern)
    return lambda text: pattern.split(text, field=source)


def _into_list(step: Split, source: str, cut: _Parts) -> Action:
    path, target = parse_field(source), parse_field(step.field)

    def act(state: State) -> State:
        parts = [part for text in _texts(source, state.need(path)) for part in cut(text)]
        if step.strip:
            parts = [bare for part in parts if (bare := part.strip())]
        if step.unique:
            parts = list(dict.fromkeys(parts))
        return state.put(target, list[JsonValue](parts))

    return act


def _into_fields(step: Split, cut: _Parts) -> Action:
    assert step.into is not None
    path = parse_field(step.field)
    targets = [parse_field(name) for name in step.into]

    def act(state: State) -> State:
        value = state.need(path)
        if not isinstance(value, str):
            raise Refused(step.field, "a text", shown(value))
        parts = cut(value)
        if len(parts) != len(targets):
            raise Refused(step.field, f"{len(targets)} parts", f"{len(parts)} in {shown(value)}")
        for target, part in zip(targets, parts, strict=True):
            state = state.put(target, part.strip() if step.strip else part)
        return state

    return act


def replace(title: str, step: Replace) -> Action:
    """Compile the step.

    Raises:
        InvalidInput: the pattern or the replacement cannot be used.
    """
    source = step.source or step.field
    path, target = parse_field(source), parse_field(step.field)
    pattern = CompiledPattern(title, step.pattern, ignore_case=step.ignore_case)
    pattern.check_replacement(title, step.replacement)

    def act(state: State) -> State:
        value = state.need(path)
        made = [
            pattern.substitute(step.replacement, text, field=source, count=step.count)
            for text in _texts(source, value)
        ]
        if step.unmatched == "fail" and not any(number for _, number in made):
            raise Refused(source, f"{step.pattern!r} to be found in it", shown(value))
        texts: list[JsonValue] = [text for text, _ in made]
        return state.put(target, texts if isinstance(value, list) else texts[0])

    return act


def _texts(field: str, value: JsonValue) -> list[str]:
    """The text, or the texts of a list. Raises ``Refused`` where there is something else."""
    items = value if isinstance(value, list) else [value]
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) != len(items):
        raise Refused(field, "a text or a list of texts", shown(value))
    return texts
