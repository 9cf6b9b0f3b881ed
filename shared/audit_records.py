"""Where audit records go: the log, and the audit table where there is Table Storage (health-and-ops.md, "Audit log").

The log has them as JSON, without UIDs. Values of attributes and queries are in neither.
"""

import logging
from collections.abc import Mapping

import orjson

from shared.backend import Backend

log = logging.getLogger(__name__)

STARTED, SUCCEEDED, FAILED = "Started", "Succeeded", "Failed"
"""`ResultType` of a record."""


async def keep(
    fields: Mapping[str, str | int], uids: Mapping[str, str], backend: Backend, *, must_be_kept: bool
) -> None:
    """Keep a record.

    Parameters
    ----------
    fields
        The columns, but for UIDs; `CorrelationId` and `ResultType` among them.
    uids
        What it is about: `study`, `series`, `instance`; `shown`: the studies that an answer tells of, blanks between.
    must_be_kept
        Whether to wait until the table has it.

    Raises
    ------
    Unavailable
        It must be kept and is not.
    """
    at = backend.now()
    log.info("%s", orjson.dumps({"Type": "audit", "TimeGenerated": at, **fields}).decode())
    if backend.audit is None:
        return
    name = f"{fields['CorrelationId']}-{'start' if fields['ResultType'] == STARTED else 'end'}"
    row = {**fields, **{_COLUMNS[level]: uid for level, uid in uids.items()}}
    if must_be_kept:
        await backend.audit.add(at, name, row)
    else:
        await backend.audit.add_later(at, name, row)


_COLUMNS = {
    "study": "StudyInstanceUid",
    "series": "SeriesInstanceUid",
    "instance": "SopInstanceUid",
    "shown": "StudiesShown",
}
