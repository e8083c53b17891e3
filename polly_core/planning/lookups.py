"""What a JMESPath expression looks at, so that a message can say what was found there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]

_CHAINS = frozenset({"subexpression", "index_expression"})
# What follows their first child is evaluated on what that gave.
_FIRST_CHILD_ONLY = frozenset(
    {"pipe", "projection", "value_projection", "filter_projection", "flatten"}
)


def lookups(parsed: Node) -> dict[str, Node]:
    """Each path that is looked up on the dataset itself, as it is written, with its node.

    Of one that goes on into a list it is the part before that.
    """
    return {
        _text(steps): {"type": "subexpression", "children": list(steps)} for steps in _paths(parsed)
    }


def _paths(node: Node) -> Iterator[Sequence[Node]]:
    kind, children = node["type"], node["children"]
    steps, _ = _beginning(node)
    if steps:
        yield steps
    elif kind in _CHAINS | _FIRST_CHILD_ONLY:
        yield from _paths(children[0])
    elif kind != "expref":
        for child in children:
            if isinstance(child, dict):
                yield from _paths(child)


def _beginning(node: Node) -> tuple[list[Node], bool]:
    """The names and positions that it begins with, and whether it is nothing else."""
    kind, children = node["type"], node["children"]
    if kind in {"field", "index"}:
        return [node], True
    if kind in _FIRST_CHILD_ONLY:
        return _beginning(children[0])[0], False
    steps: list[Node] = []
    if kind in _CHAINS:
        for child in children:
            found, whole = _beginning(child)
            steps.extend(found)
            if not whole:
                return steps, False
    return steps, kind in _CHAINS


def _text(steps: Sequence[Node]) -> str:
    found = ""
    for step in steps:
        name = str(step["value"])
        if step["type"] == "index":
            found += f"[{name}]"
            continue
        written = name if name.isidentifier() else f'"{name}"'
        found += f".{written}" if found else written
    return found
