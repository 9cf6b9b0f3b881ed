"""Delete studies whose time has come (managed-service-additions.md §4), as a client's delete would."""

import logging
import time
import uuid
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from shared import audit_records
from shared.backend import Backend
from shared.errors import DicomwebError
from shared.index import terms
from shared.index.terms import ExpiredStudy
from shared.model import Action

log = logging.getLogger(__name__)

_OPERATION = "expire_studies"
_TOGETHER = 100
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


async def delete_expired(backend: Backend) -> int:
    """Delete every study that has expired, each in a transaction of its own; return how many there were.

    One that cannot be deleted now is left to the next run. A Store that takes an expiry back is in time as long as
    its study is there.
    """
    now, after = backend.now(), (_BEGINNING, 0)
    done = failed = 0
    while page := await backend.index.read(terms.expired, now, after=after, limit=_TOGETHER):
        after = page[-1].expires_at, page[-1].row
        for study in page:
            try:
                done += await _delete(study, backend)
            except DicomwebError as error:
                failed += 1
                log.warning("expiry: study row %d not deleted: %s", study.row, type(error).__name__)
    if done or failed:
        log.info("expiry: %d studies deleted, %d to be tried again", done, failed)
    return done


async def _delete(study: ExpiredStudy, backend: Backend) -> bool:
    """Delete a study if it still is expired, between an audit record of the start and one of the end."""
    began, grace = time.perf_counter(), timedelta(seconds=backend.settings.delete_after_s)
    correlation_id = uuid.uuid4().hex

    async def record(result: str, **fields: int) -> None:
        known = {
            "CorrelationId": correlation_id,
            "OperationName": _OPERATION,
            "Action": Action.DELETE.value,
            "PartitionName": study.partition_name,
            "ResultType": result,
        }
        uids = {"study": study.study}
        await audit_records.keep({**known, **fields}, uids, backend, must_be_kept=backend.settings.audit_strict)

    async def record_end(status: HTTPStatus) -> None:
        took_ms = round((time.perf_counter() - began) * 1000)
        result = audit_records.SUCCEEDED if status is HTTPStatus.NO_CONTENT else audit_records.FAILED
        await record(result, StatusCode=status.value, DurationMs=took_ms)

    await record(audit_records.STARTED)
    try:
        count = await backend.index.write(terms.delete_expired, study.row, backend.now, grace)
    except DicomwebError:
        await record_end(HTTPStatus.SERVICE_UNAVAILABLE)
        raise
    await record_end(HTTPStatus.NO_CONTENT if count else HTTPStatus.NOT_FOUND)
    return count > 0
