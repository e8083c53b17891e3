"""The plan file: what is to be done to each item, to be reviewed, approved and applied as it is.

JSON lines: a header, one line per item in the order of the selection, a footer. Every line begins
with a check of itself, and the footer has the digest of all items, so that a change by hand is
found and named. The digest depends on the spec and the decided items only: not on the file.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, NoReturn

from pydantic import ValidationError

from polly_core.errors import InvalidInput, RunMismatch
from polly_core.models.catalog import CatalogRef
from polly_core.models.jsonvalue import JsonObject, JsonValue, Model, canonical_json
from polly_core.models.run import (
    Decision,
    Invalid,
    Item,
    Planned,
    RunSpec,
    Skipped,
    Unchanged,
)
from polly_core.planning.diff import op_json
from polly_core.planning.summary import PlanSummary, PlanTally, decision_name
from polly_core.planning.values import read_json

FORMAT: Final = 1
_CHECK_LENGTH = 16
_PREFIX = b'{"check":"'
_DECISIONS: dict[str, type[Planned | Unchanged | Skipped | Invalid]] = {
    "planned": Planned,
    "unchanged": Unchanged,
    "skipped": Skipped,
    "invalid": Invalid,
}


class PlanHeader(Model):
    """The first line: what the plan is for."""

    polly_bulk_plan: Literal[1] = FORMAT
    spec: RunSpec
    spec_digest: str


class PlanFooter(Model):
    """The last line: what the plan comes to."""

    items: int
    plan_digest: str
    summary: PlanSummary


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One item of a plan."""

    item: Item
    decision: Decision


class PlanDigest:
    """The digest of a plan, from its items in order; a plan file and a ledger give the same."""

    def __init__(self, spec_digest: str) -> None:
        self._hash = hashlib.sha256(spec_digest.encode())

    def add(self, item: Item, decision: Decision) -> None:
        """Take the next item."""
        self.add_line(canonical_json(_item_json(item, decision)))

    def add_line(self, body: bytes) -> None:
        """Take the next item as it stands in a plan file, without its check."""
        self._hash.update(b"\n" + body)

    def hexdigest(self) -> str:
        """The digest of the items so far."""
        return self._hash.hexdigest()


def write_plan(path: Path, spec: RunSpec, decided: Iterable[tuple[Item, Decision]]) -> PlanFooter:
    """Write a plan file, whole or not at all.

    Args:
        decided: every item of the run in order; it is streamed.

    Raises:
        InvalidInput: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        try:
            with partial.open("wb") as handle:
                footer = _write(handle, spec, decided)
                handle.flush()
                os.fsync(handle.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput(f"the plan cannot be written to {path}: {error.strerror}") from None
    return footer


def _write(handle: BinaryIO, spec: RunSpec, decided: Iterable[tuple[Item, Decision]]) -> PlanFooter:
    spec_digest = spec.digest()
    header = PlanHeader(spec=spec, spec_digest=spec_digest)
    handle.write(_checked(canonical_json(header.model_dump(mode="json"))))
    digest, tally, items = PlanDigest(spec_digest), PlanTally(), 0
    for item, decision in decided:
        body = canonical_json(_item_json(item, decision))
        digest.add_line(body)
        tally.add(item, decision)
        items += 1
        handle.write(_checked(body))
    footer = PlanFooter(items=items, plan_digest=digest.hexdigest(), summary=tally.summary())
    handle.write(_checked(canonical_json(footer.model_dump(mode="json"))))
    return footer


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan file that was found to be whole and unchanged."""

    path: Path
    header: PlanHeader
    footer: PlanFooter

    @property
    def spec(self) -> RunSpec:
        """What the plan was made for."""
        return self.header.spec

    def items(self) -> Iterator[PlannedItem]:
        """Its items in order.

        Raises:
            InvalidInput: the file was changed since it was read.
        """
        digest = PlanDigest(self.header.spec_digest)
        with _open(self.path) as handle:
            lines = _bodies(handle, self.path)
            next(lines)
            for number, body in enumerate(lines, 2):
                if number == self.footer.items + 2:
                    break
                digest.add_line(body)
                yield _item_of(body, self.path, number)
        if digest.hexdigest() != self.footer.plan_digest:
            raise InvalidInput(f"{self.path} was changed while it was read; run the plan again")


def read_plan(path: Path, *, catalog: CatalogRef | None = None) -> PlanFile:
    """Check a plan file from its first to its last line.

    Args:
        catalog: the catalog it is to be applied to; None leaves that unchecked.

    Raises:
        RunMismatch: it was made for another catalog.
        InvalidInput: it is no plan, was cut off or changed by hand, or its format is not known.
    """
    with _open(path) as handle:
        lines = _bodies(handle, path)
        header = _header(next(lines, b""), path)
        if catalog is not None and header.spec.catalog != catalog:
            _other_catalog(path, header.spec.catalog, catalog)
        digest = PlanDigest(header.spec_digest)
        items, last = 0, b""
        for body in lines:
            if last:
                digest.add_line(last)
                items += 1
            last = body
    footer = _footer(last, path, items)
    if footer.items != items:
        raise InvalidInput(
            f"{path} was changed by hand: its last line says {footer.items} items, found {items}; "
            f"{_AGAIN}"
        )
    if footer.plan_digest != digest.hexdigest():
        raise InvalidInput(
            f"{path} was changed by hand: its lines are not those it was written with (digest "
            f"{digest.hexdigest()[:12]}, expected {footer.plan_digest[:12]}): lines were moved or "
            f"come from another plan; {_AGAIN}"
        )
    return PlanFile(path, header, footer)


_AGAIN = "a plan is not edited: change the selection or the change, and plan again"


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInput(f"the plan {path} cannot be read: {error.strerror}") from None


def _checked(body: bytes) -> bytes:
    return _PREFIX + _check(body) + b'",' + body[1:] + b"\n"


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_CHECK_LENGTH].encode()


def _bodies(handle: BinaryIO, path: Path) -> Iterator[bytes]:
    """Each line without its check, which is verified."""
    start = len(_PREFIX) + _CHECK_LENGTH
    for number, line in enumerate(handle, 1):
        body = b"{" + line.rstrip(b"\r\n")[start + 2 :]
        if line.startswith(_PREFIX) and _check(body) == line[len(_PREFIX) : start]:
            yield body
        elif not line.endswith(b"\n"):
            raise InvalidInput(f"{path} is cut off in line {number}; run the plan again")
        elif number == 1:
            _no_header(line, path)
        else:
            raise InvalidInput(
                f"{path} was changed by hand in line {number}{_dataset(line)}; {_AGAIN}"
            )


def _dataset(line: bytes) -> str:
    try:
        value = read_json(line)
    except ValueError:
        return ", which is no JSON any more"
    found = value.get("dataset_id") if isinstance(value, dict) else None
    return f" (dataset {found})" if isinstance(found, str) else ""


def _no_header(line: bytes, path: Path) -> NoReturn:
    try:
        value = read_json(line)
    except ValueError:
        value = None
    _check_format(value if isinstance(value, dict) else {}, path)
    raise InvalidInput(f"{path} was changed by hand in line 1; {_AGAIN}")


def _check_format(header: JsonObject, path: Path) -> None:
    found = header.get("polly_bulk_plan")
    if found is None:
        raise InvalidInput(f"{path} is no plan file; one is made by: polly-bulk plan … -o FILE")
    if found != FORMAT:
        raise InvalidInput(
            f"{path} has plan format {found}, this program reads format {FORMAT}; apply it with "
            "the program that made it, or plan again"
        )


def _header(body: bytes, path: Path) -> PlanHeader:
    if not body:
        raise InvalidInput(f"{path} is empty; run the plan again")
    value = _object(body)
    _check_format(value, path)
    try:
        header = PlanHeader.model_validate(value)
    except ValidationError as error:
        raise _not_understood(path, 1, error) from None
    if header.spec.digest() != header.spec_digest:
        raise InvalidInput(
            f"{path}: its spec has digest {header.spec.digest()[:12]}, its header says "
            f"{header.spec_digest[:12]}; {_AGAIN}"
        )
    return header


def _footer(body: bytes, path: Path, items: int) -> PlanFooter:
    value = _object(body) if body else {}
    if "plan_digest" not in value:
        after = f"dataset {value['dataset_id']}" if "dataset_id" in value else "its header"
        raise InvalidInput(f"{path} is cut off after {after}; run the plan again")
    try:
        return PlanFooter.model_validate(value)
    except ValidationError as error:
        raise _not_understood(path, items + 2, error) from None


def _other_catalog(path: Path, planned: CatalogRef, given: CatalogRef) -> NoReturn:
    found, wanted = (f"{ref} (instance {ref.instance_id or 'unknown'})" for ref in (planned, given))
    raise RunMismatch(
        f"{path} was planned for {found}, not for {wanted}; plan again for that catalog, or apply "
        "it where it belongs"
    )


def _not_understood(path: Path, line: int, error: ValidationError) -> InvalidInput:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return InvalidInput(f"{path}, line {line}: {place}: {first['msg']}; run the plan again")


def _object(body: bytes) -> JsonObject:
    value: JsonValue = read_json(body)
    assert isinstance(value, dict)
    return value


def _item_json(item: Item, decision: Decision) -> JsonObject:
    name = decision_name(decision)
    result: JsonObject = {"seq": item.seq, "dataset_id": item.dataset_id, "decision": name}
    if item.file_name:
        result["file_name"] = item.file_name
    if item.row is not None:
        result["row"] = item.row
    if isinstance(decision, Planned):
        body: JsonObject = decision.model_dump(mode="json", exclude={"patch"})
        body["patch"] = [op_json(op) for op in decision.patch]
    else:
        body = decision.model_dump(mode="json")
    result[name] = body
    return result


def _item_of(body: bytes, path: Path, line: int) -> PlannedItem:
    value = _object(body)
    name = value.pop("decision", None)
    kind = _DECISIONS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InvalidInput(f"{path}, line {line}: unknown decision {name!r}; run the plan again")
    try:
        decision = kind.model_validate(value.pop(str(name), None))
        return PlannedItem(Item.model_validate(value), decision)
    except ValidationError as error:
        raise _not_understood(path, line, error) from None
