"""Check that index, blobs and change feed agree: ``python -m shared.check`` with the settings of the app.

Reads only, unless `--repair` is given, and may run beside the service; docs/operations.md says what each finding means.
Exit code 0: nothing was found (any more), 1: something was, 2: the check could not be done.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from shared.backend import open_backend
from shared.errors import DicomwebError
from shared.index.audit import require_database
from shared.services.consistency import check
from shared.services.findings import MEANINGS, Example, Report
from shared.services.repair import repair
from shared.settings import InvalidSetting, Settings, read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the settings in the environment name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--deep", action="store_true", help="read the header of each file and the metadata, too")
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    parser.add_argument("--examples", type=int, default=10, metavar="N", help="of each finding, by default 10")
    parser.add_argument("--repair", action="store_true", help="put right what is safe to, then check")
    given = parser.parse_args(arguments)
    try:
        work = _check(read_settings(), given.repair, is_deep=given.deep, most_examples=max(given.examples, 0))
        repaired, report = asyncio.run(work)
    except (InvalidSetting, DicomwebError) as error:
        sys.stderr.write(f"The check could not be done: {error}\n")
        return 2
    lines = (*_repairs(repaired), *_lines(report))
    sys.stdout.write(_json(report, repaired) if given.json else "".join(f"{line}\n" for line in lines))
    return 0 if report.is_clean else 1


async def _check(
    settings: Settings, wants_repair: bool, *, is_deep: bool, most_examples: int
) -> tuple[dict[str, int], Report]:
    require_database(settings.dicom_sql_url)
    backend = open_backend(settings)
    try:
        repaired = await repair(backend, is_deep=is_deep) if wants_repair else {}
        return repaired, await check(backend, is_deep=is_deep, most_examples=most_examples)
    finally:
        await backend.close()


def _repairs(repaired: Mapping[str, int]) -> Iterator[str]:
    yield from (f"Repaired {name}: {count} {MEANINGS[name]}" for name, count in repaired.items())


def _lines(report: Report) -> Iterator[str]:
    yield (
        f"Looked at {report.instances} instances, {report.blobs} blobs, {report.documents} series documents and "
        f"{report.headers} headers."
    )
    for name, finding in report.findings.items():
        yield f"{name}: {finding.count} {MEANINGS[name]}"
        yield from (f"  {_text(example)}" for example in finding.examples)
    yield "Index, blobs and change feed agree." if report.is_clean else "docs/operations.md says what to do."


def _text(example: Example) -> str:
    parts = [] if example.version is None else [str(example.version)]
    parts += [] if example.age_s is None else [f"{example.age_s} s old"]
    return ", ".join([*parts, *filter(None, [example.detail])])


def _json(report: Report, repaired: Mapping[str, int]) -> str:
    found = {name: {"meaning": MEANINGS[name], **asdict(one)} for name, one in report.findings.items()}
    looked_at = {name: getattr(report, name) for name in ("instances", "blobs", "documents", "headers")}
    told = {"clean": report.is_clean, "looked_at": looked_at, "repaired": repaired, "findings": found}
    return f"{json.dumps(told)}\n"


if __name__ == "__main__":
    sys.exit(main())
