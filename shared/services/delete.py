"""Delete a study, series or instance: gone at once for every reader, the bytes later (delete.md)."""

from datetime import timedelta

from shared.backend import Backend
from shared.errors import NotFound
from shared.index import instances
from shared.model import Scope
from shared.services.renewal import renew_studies


async def delete(scope: Scope, backend: Backend) -> None:
    """Delete everything in *scope*.

    Raises
    ------
    NotFound
        Nothing is stored there.
    """
    grace = timedelta(seconds=backend.settings.delete_after_s)
    if not await backend.index.write(instances.delete_in_turn, scope, backend.now, grace):
        raise NotFound("Nothing is stored under these UIDs.")
    if scope.study is not None and scope.series is not None:
        await renew_studies(scope.partition, {scope.study}, backend)
