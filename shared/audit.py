"""Ask who did what: ``python -m shared.audit --study UID`` with the settings of the app (docs/security.md, "Audit").

Reads the audit table and nothing else. Exit code 0: there are such records, 1: there is none, 2: it could not be read.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from shared.backend import open_audit_table
from shared.errors import DicomwebError, Unavailable
from shared.settings import InvalidSetting, Settings, read_settings

_DAYS = 30
_COLUMN_OF: Mapping[str, str] = {
    "study": "StudyInstanceUid",
    "series": "SeriesInstanceUid",
    "instance": "SopInstanceUid",
    "identity": "Identity",
    "partition": "PartitionName",
    "action": "Action",
    "correlation": "CorrelationId",
}
"""By option: what a record must have there."""

_SHOWN = (
    "TimeGenerated",
    "Identity",
    "Application",
    "CallerIpAddress",
    "OperationName",
    "ResultType",
    "StatusCode",
    "PartitionName",
    "StudyInstanceUid",
    "SeriesInstanceUid",
    "SopInstanceUid",
    "CorrelationId",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the records that the arguments ask for; return the exit code."""
    today = datetime.now(UTC).date()
    parser = argparse.ArgumentParser(prog="python -m shared.audit", description=(__doc__ or "").partition("\n")[0])
    for option, column in _COLUMN_OF.items():
        parser.add_argument(f"--{option}", help=f"only records with this {column}")
    parser.add_argument("--first", type=date.fromisoformat, default=today - timedelta(_DAYS), help="day, in UTC")
    parser.add_argument("--last", type=date.fromisoformat, default=today, help="day, in UTC; by default today")
    parser.add_argument("--json", action="store_true", help="write each record as a JSON object, with all columns")
    given = parser.parse_args(arguments)
    equal = {column: text for option, column in _COLUMN_OF.items() if (text := getattr(given, option)) is not None}
    try:
        count = asyncio.run(_show(read_settings(), given.first, given.last, equal, is_json=given.json))
    except (InvalidSetting, DicomwebError) as error:
        sys.stderr.write(f"The audit table could not be read: {error}\n")
        return 2
    return 0 if count else 1


async def _show(settings: Settings, first: date, last: date, equal: Mapping[str, str], *, is_json: bool) -> int:
    table = open_audit_table(settings)
    if table is None:
        raise Unavailable("there is none with DICOM_STORAGE_FOLDER; the log has the records, without UIDs.")
    try:
        return await _write(table.find(first, last, equal), is_json=is_json)
    finally:
        await table.close()


async def _write(records: AsyncIterator[dict[str, str | int]], *, is_json: bool) -> int:
    count = 0
    async for record in records:
        if not (is_json or count):
            sys.stdout.write("\t".join(_SHOWN) + "\n")
        count += 1
        line = json.dumps(record) if is_json else "\t".join(str(record.get(column, "")) for column in _SHOWN)
        sys.stdout.write(f"{line}\n")
    return count


if __name__ == "__main__":
    sys.exit(main())
