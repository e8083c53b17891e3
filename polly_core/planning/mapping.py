"""The step ``map``: values, elements of lists and words in texts by a vocabulary."""

import re
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import TypeAlias

from polly_core.errors import InvalidInput
from polly_core.models.change import Map
from polly_core.models.fieldpath import parse_field
from polly_core.models.jsonvalue import JsonObject, JsonValue
from polly_core.planning.resources import parse_document
from polly_core.planning.state import Action, Refused, State
from polly_core.planning.tables import Problems, read_rows
from polly_core.planning.values import ABSENT, MaybeJson, same, shown

_WORD = re.compile(r"\w+")

_Lookup: TypeAlias = Callable[[JsonValue], MaybeJson]


def map_values(title: str, step: Map, resources: Mapping[str, bytes]) -> Action:
    """Compile the step.

    Raises:
        InvalidInput: the vocabulary cannot be used.
    """
    vocabulary = _vocabulary(title, step, resources)
    translate = (
        _words(title, step, vocabulary) if step.match == "words" else _whole(step, vocabulary)
    )
    target = parse_field(step.field)
    source = parse_field(step.source) if step.source is not None else target

    def act(state: State) -> State:
        value = state.need(source)
        result = translate(value)
        if result is not ABSENT:
            return state.put(target, result)
        match step.unmatched:
            case "keep":
                return state
            case "unset":
                return state.drop(target) if target.attribute is None else state.put(target, None)
            case "default":
                return state.put(target, step.default)
            case "fail":
                raise _no_match(source.text, value, step)

    return act


def _no_match(field: str, value: JsonValue, step: Map) -> Refused:
    where = step.vocabulary if isinstance(step.vocabulary, str) else "the vocabulary"
    what = "a word" if step.match == "words" else "an entry"
    return Refused(field, f"{what} of {where}", shown(value))


def _whole(step: Map, vocabulary: Mapping[str, JsonValue]) -> _Lookup:
    def look_up(value: JsonValue) -> MaybeJson:
        if isinstance(value, str):
            return vocabulary.get(value.casefold() if step.ignore_case else value, ABSENT)
        if isinstance(value, int) and not isinstance(value, bool):
            return vocabulary.get(str(value), ABSENT)
        return ABSENT

    def translate(value: JsonValue) -> MaybeJson:
        if not isinstance(value, list):
            return look_up(value)
        result: list[JsonValue] = []
        for item in value:
            found = look_up(item)
            if found is ABSENT:
                found = _element(item, step)
            if found is not ABSENT and not (step.unique and any(same(found, r) for r in result)):
                result.append(found)
        return result

    return translate


def _element(item: JsonValue, step: Map) -> MaybeJson:
    """What becomes of an element that the vocabulary does not know."""
    match step.unmatched:
        case "keep":
            return item
        case "unset":
            return ABSENT
        case "default":
            return step.default
        case "fail":
            raise _no_match(step.source or step.field, item, step)


def _words(title: str, step: Map, vocabulary: Mapping[str, JsonValue]) -> _Lookup:
    entries: dict[tuple[str, ...], JsonValue] = {}
    for text, wanted in vocabulary.items():
        words = tuple(_WORD.findall(text))
        if not words:
            raise InvalidInput(f"{title}: the vocabulary's entry {text!r} holds no word")
        if words in entries and not same(entries[words], wanted):
            raise InvalidInput(
                f"{title}: the vocabulary says two things of the words {' '.join(words)!r}: "
                f"{shown(entries[words])} and {shown(wanted)}; keep one"
            )
        entries[words] = wanted
    # Looking up runs of words costs the same for ten entries and for ten thousand.
    longest: dict[str, int] = {}
    for words in entries:
        longest[words[0]] = max(longest.get(words[0], 0), len(words))

    def hits(text: str) -> Iterator[JsonValue]:
        words = _WORD.findall(text.casefold() if step.ignore_case else text)
        free = 0
        for position, word in enumerate(words):
            if word not in longest or position < free:
                continue
            for length in range(longest[word], 0, -1):
                found = entries.get(tuple(words[position : position + length]), ABSENT)
                if found is not ABSENT:
                    yield found
                    free = position + length
                    break

    def translate(value: JsonValue) -> MaybeJson:
        texts = value if isinstance(value, list) else [value]
        found = (hit for text in texts if isinstance(text, str) for hit in hits(text))
        if step.results == "first":
            return next(found, ABSENT)
        result: list[JsonValue] = []
        for hit in found:
            if not any(same(hit, present) for present in result):
                result.append(hit)
        return result or ABSENT

    return translate


def _vocabulary(title: str, step: Map, resources: Mapping[str, bytes]) -> dict[str, JsonValue]:
    raw = step.vocabulary
    entries = _from_file(raw, resources[raw]) if isinstance(raw, str) else raw
    if not entries:
        raise InvalidInput(f"{title}: the vocabulary is empty")
    if not step.ignore_case:
        return dict(entries)
    folded: dict[str, JsonValue] = {}
    for text, wanted in entries.items():
        key = text.casefold()
        if key in folded and not same(folded[key], wanted):
            raise InvalidInput(
                f"{title}: the vocabulary says two things of {text!r} when case is ignored: "
                f"{shown(folded[key])} and {shown(wanted)}; keep one"
            )
        folded[key] = wanted
    return folded


def _from_file(name: str, content: bytes) -> dict[str, JsonValue]:
    if name.lower().endswith((".csv", ".tsv")):
        return _from_table(name, content)
    document = parse_document(content, name)
    if not isinstance(document, dict):
        raise InvalidInput(
            f"{name}: expected a mapping of found to wanted, found {shown(document)}"
        )
    return document


def _from_table(name: str, content: bytes) -> dict[str, JsonValue]:
    problems = Problems(name)
    entries: JsonObject = {}
    lines: dict[str, int] = {}
    for row in read_rows(BytesIO(content), name, problems):
        cells = list(row.cells.values())
        if len(cells) != 2 or not isinstance(cells[0], str):
            problems.add(row.line, f"expected two cells, found and wanted; found {len(cells)}")
        elif cells[0] in lines:
            problems.add(row.line, f"{cells[0]!r} is already in line {lines[cells[0]]}")
        else:
            entries[cells[0]] = cells[1]
            lines[cells[0]] = row.line
    problems.raise_any()
    return entries
