"""Add and delete extended query tags (extended-query-tags.md); what both leave to do when a process dies."""

from collections.abc import Sequence

from shared.backend import Backend
from shared.index import query_tags
from shared.model import QueryTag
from shared.services import operations, reindex

_AT_ONCE = 2000
"""Values removed in one transaction: some tens of milliseconds."""


async def add(tags: Sequence[QueryTag], backend: Backend) -> str:
    """Add tags and return the operation that indexes what is stored for them.

    Raises
    ------
    Conflict, OperationRunning, InvalidRequest
        As `index.query_tags.add`.
    """
    operation = operations.new_id()
    await backend.index.write(query_tags.add, tags, operation)
    backend.forget_query_tags()
    await _begin(operation, [tag.path for tag in tags], backend)
    return operation


async def delete(path: str, backend: Backend) -> None:
    """Remove a tag with everything that is kept of it, or raise `NotFound`."""
    number = await backend.index.write(query_tags.begin_delete, path)
    backend.forget_query_tags()
    await _remove(number, backend)


async def tidy(backend: Backend) -> None:
    """Begin the operations and end the deletes that died with their process. Doing it twice does no harm."""
    for operation, paths in (await backend.index.read(query_tags.find_operations)).items():
        await _begin(operation, paths, backend)
    for number in await backend.index.read(query_tags.find_deleting):
        await _remove(number, backend)


async def _begin(operation: str, paths: Sequence[str], backend: Backend) -> None:
    await operations.start(operation, reindex.KIND, {"tags": list(paths)}, backend)


async def _remove(number: int, backend: Backend) -> None:
    while await backend.index.write(query_tags.delete_some, number, _AT_ONCE):
        pass
