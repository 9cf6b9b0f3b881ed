"""A study that expires in a running service: gone, told of and recorded (managed-service-additions.md §4)."""

import os
from pathlib import Path

import pytest

from tests import background
from tests.e2e.client import client_of
from tests.e2e.test_audit import rows
from tests.factories import new_uid, part10
from tests.receiver import receiving
from tests.soak.service import running

pytestmark = pytest.mark.skipif("DICOMWEB_URL" in os.environ, reason="functions of a deployment are not ours to run")

_SOON, _LATE = "1", str(3_600_000)


def _expires(milliseconds: str) -> dict[str, str]:
    return {"msdicom-expiry-time-milliseconds": milliseconds}


@pytest.mark.parametrize("storage", ["embedded", "azurite"])
def test_expired(storage: str, tmp_path: Path) -> None:
    """What has expired is 404, in the change feed, an event, and has audit records; everything else stays."""
    gone, kept, taken_back = new_uid(), new_uid(), new_uid()
    with (
        receiving() as receiver,
        running(
            storage, tmp_path, workers=2, PUBLIC_URL="https://pacs.example", EVENT_WEBHOOK_URL=receiver.url
        ) as service,
        client_of(f"{service.url}/v2", "v2") as client,
    ):
        client.store(part10(StudyInstanceUID=gone), part10(StudyInstanceUID=gone), **_expires(_SOON))
        client.store(part10(StudyInstanceUID=kept), **_expires(_LATE))
        client.store(part10(StudyInstanceUID=taken_back), **_expires(_SOON))
        client.store(part10(StudyInstanceUID=taken_back))
        settings = os.environ | service.settings()

        background.run(settings, "expire_studies")

        assert client.get(f"/studies/{gone}").status_code == 404
        assert client.search("/studies", StudyInstanceUID=gone) == []
        assert len(client.files(f"/studies/{kept}")) == 1
        assert len(client.files(f"/studies/{taken_back}")) == 2
        entries = client.get("/changefeed").json()
        assert [one["action"] for one in entries if one["studyInstanceUid"] == gone] == ["Create"] * 2 + ["Delete"] * 2
        receiver.wait_for(lambda events: len(events) == len(entries))
        if storage == "azurite":
            found = rows(settings["DICOM_STORAGE_CONNECTION_STRING"], "OperationName eq 'expire_studies'")
            assert {(row["StudyInstanceUid"], row["ResultType"]) for row in found} == {
                (gone, "Started"),
                (gone, "Succeeded"),
            }
        assert service.check("--deep").returncode == 0

    told = [one["eventType"].rpartition(".")[2] for one in receiver.events if gone in one["subject"]]
    assert told == ["DicomImageCreated"] * 2 + ["DicomImageDeleted"] * 2
