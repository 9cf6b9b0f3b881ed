"""Remove the bytes of what was deleted, and what a crash or an error left behind."""

import logging
from datetime import timedelta

from shared import metrics
from shared.backend import Backend
from shared.index import documents
from shared.index.garbage import attempts, backlog, due, expire_reservations, forget, postpone
from shared.storage.blobs import document_blob, instance_blob, thumbnail_blob

log = logging.getLogger(__name__)

_BATCH = 500
_FIRST_RETRY = timedelta(minutes=3)
_LAST_RETRY = timedelta(days=1)
_RETRY_DOCUMENTS = timedelta(hours=1)


async def clean_up(backend: Backend) -> int:
    """Remove every blob that is due and return how many; one that cannot be is tried again, ever more rarely.

    Nothing visible is touched: a version is due only when its row is gone or was never there, a series document when
    nothing is found in it. Doing it twice, or in two processes at once, does no harm.
    """
    expired = backend.now() - timedelta(seconds=backend.settings.reservation_expires_s)
    dead = removed = failed = 0
    while count := await backend.index.write(expire_reservations, expired, backend.now(), _BATCH):
        dead += count
    while versions := await backend.index.read(due, backend.now(), _BATCH):
        names = [name(version) for name in (instance_blob, thumbnail_blob) for version in versions]
        errors = await backend.blobs.delete(names)
        failures = {version for version, error in zip(versions * 2, errors, strict=True) if error is not None}
        kept = [version for version in versions if version in failures]
        gone = [version for version in versions if version not in failures]
        await backend.index.write(forget, gone)
        tried = await backend.index.read(attempts, kept) if kept else {}
        for count in sorted(set(tried.values())):
            again = [version for version in kept if tried.get(version) == count]
            await backend.index.write(postpone, again, backend.now() + retry_after(count))
        removed += len(gone)
        failed += len(kept)
    while numbers := await backend.index.write(
        documents.take_due, backend.now(), backend.now() + _RETRY_DOCUMENTS, _BATCH
    ):
        errors = await backend.blobs.delete([document_blob(number) for number in numbers])
        gone = [number for number, error in zip(numbers, errors, strict=True) if error is None]
        await backend.index.write(documents.forget, gone)
        removed += len(gone)
        failed += len(numbers) - len(gone)
    if dead or removed or failed:
        log.info("cleanup: %d blobs removed, %d to be tried again, %d dead reservations", removed, failed, dead)
    metrics.queue("removals", *await backend.index.read(backlog), backend.now())
    return removed


def retry_after(tried: int) -> timedelta:
    """Return how long to wait after a removal that failed, by the number of those before it."""
    return min(_FIRST_RETRY * int(4 ** min(tried, 10)), _LAST_RETRY)
