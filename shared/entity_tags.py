"""Entity tags that tell nothing but whether something is the same (RFC 9110 §8.8.3).

Versions are counted over all partitions, so a tag made of them would tell how much others store. A key that all
processes share makes a digest of them that nobody can try out.
"""

import hmac
import logging
import secrets
import time
from contextlib import suppress

from shared.errors import Conflict, DicomwebError, NotFound, Unavailable
from shared.storage.blobs import RecordStore

log = logging.getLogger(__name__)

_KIND, _NAME = "entity-tags", "key"
_KEY_BYTES = 32
_TAG_BYTES = 16
_AGAIN_S = 60.0


class TagKey:
    """The key of this service's tags, or where records do not answer one of this process, which makes tags too."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._is_shared = False
        self._ask_at = 0.0

    async def of(self, records: RecordStore) -> bytes:
        """Return the key; it is read once."""
        if not self._is_shared and time.monotonic() >= self._ask_at:
            try:
                self._key = await _shared_key(records)
                self._is_shared = True
            except DicomwebError as error:
                self._ask_at = time.monotonic() + _AGAIN_S
                log.warning("entity tags: of this process alone for now: %s", type(error).__name__)
        return self._key


def tag_of(key: bytes, *state: object) -> str:
    """Return the tag of a *state*, quoted."""
    return f'"{hmac.digest(key, repr(state).encode(), "sha256")[:_TAG_BYTES].hex()}"'


async def _shared_key(records: RecordStore) -> bytes:
    """Return what the first process has saved."""
    with suppress(NotFound):
        return (await records.load(_KIND, _NAME)).body
    with suppress(Conflict):
        return (await records.save(_KIND, _NAME, secrets.token_bytes(_KEY_BYTES), etag=None)).body
    try:
        return (await records.load(_KIND, _NAME)).body
    except NotFound as error:
        raise Unavailable("The key of entity tags cannot be kept.") from error
