"""Delete studies whose time has come (managed-service-additions.md §4), as a client's delete would."""

import logging
from datetime import UTC, datetime, timedelta

from shared.backend import Backend
from shared.errors import DicomwebError
from shared.index import terms

log = logging.getLogger(__name__)

_TOGETHER = 100
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


async def delete_expired(backend: Backend) -> int:
    """Delete every study that has expired, each in a transaction of its own; return how many there were.

    One that cannot be deleted now is left to the next run. A Store that takes an expiry back is in time as long as
    its study is there.
    """
    grace = timedelta(seconds=backend.settings.delete_after_s)
    now, after = backend.now(), (_BEGINNING, 0)
    done = failed = 0
    while page := await backend.index.read(terms.expired, now, after=after, limit=_TOGETHER):
        after = page[-1]
        for _, number in page:
            try:
                done += bool(await backend.index.write(terms.delete_expired, number, backend.now, grace))
            except DicomwebError as error:
                failed += 1
                log.warning("expiry: study row %d not deleted: %s", number, type(error).__name__)
    if done or failed:
        log.info("expiry: %d studies deleted, %d to be tried again", done, failed)
    return done
