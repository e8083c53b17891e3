"""The addresses of the protocol, every id quoted (wire.md §4)."""

from urllib.parse import quote, urlencode

from polly_core.errors import InvalidInput, ReadFailed
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.wire import MAX_PAGE_SIZE
from polly_core.transport.session import encode_body, segment


class Paths:
    """The addresses below one atlas."""

    def __init__(self, atlas_id: str) -> None:
        self._root = f"/repositories/{segment(atlas_id)}"

    def datasets(self, *, page_size: int | None = None) -> str:
        """Raises ``InvalidInput`` for a page size below 1; one above the maximum is lowered."""
        if page_size is None:
            return f"{self._root}/datasets"
        if page_size < 1:
            raise InvalidInput(f"expected a page size of at least 1, found {page_size}")
        return f"{self._root}/datasets?page[size]={min(page_size, MAX_PAGE_SIZE)}"

    def dataset(self, dataset_id: str) -> str:
        return f"{self._root}/datasets/{segment(dataset_id)}"

    def deletion(self, dataset_id: str, params: JsonObject) -> str:
        return f"{self.dataset(dataset_id)}?params={quote(encode_body(params), safe='')}"

    def versions(self, dataset_id: str, *, include_deleted: bool) -> str:
        return f"{self.dataset(dataset_id)}/versions?include_deleted={include_deleted}"

    def version(self, dataset_id: str, version_id: str) -> str:
        return f"{self.dataset(dataset_id)}/versions/{segment(version_id)}"

    def files(self, dataset_id: str) -> str:
        return f"{self.dataset(dataset_id)}/supplementary_files"

    def file(self, dataset_id: str, file_name: str) -> str:
        return f"{self.files(dataset_id)}/{segment(file_name)}"

    def studies(self) -> str:
        return f"{self._root}/studies"

    def study(self, study_id: str) -> str:
        return f"{self._root}/studies/{segment(study_id)}"

    def ingestions(self, run_id: str, dataset_id: str | None) -> str:
        fields = {"run_id": run_id, "page[size]": str(MAX_PAGE_SIZE)}
        if dataset_id is not None:
            fields["dataset_id"] = dataset_id
        return f"{self._root}/ingestions?{urlencode(fields)}"


def next_path(link: str | None, *, after: str) -> str | None:
    """The address of the page that follows ``after``, or None at the end.

    Raises:
        ReadFailed: the link is not relative to the service, or leads back to the same page.
    """
    if link is None:
        return None
    if not link.startswith("/") or link.startswith("//"):
        raise ReadFailed("Bad page link", f"expected a link relative to the service, found {link}")
    if link == after:
        raise ReadFailed("Bad page link", f"the page {link} names itself as the next one")
    return link
