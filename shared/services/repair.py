"""Put right what is safe to put right; everything else is for a person to decide (docs/operations.md)."""

from shared.backend import Backend
from shared.index import audit, change_feed
from shared.index.repair import REPAIRS
from shared.services import events


async def repair(backend: Backend) -> dict[str, int]:
    """Put right what the rules of `index.repair` cover, and return how many cases of each there were.

    It may run beside the service. No blob is removed, and nothing of what is published.
    """
    done: dict[str, int] = {}
    last = await backend.index.read(audit.last_version)
    for rule, put_right in REPAIRS.items():  # all of one before the next: rows of studies go after those of series
        for first in range(0, last + 1, audit.WINDOW):
            if numbers := await backend.index.read(audit.broken, rule, first):
                await backend.index.write(put_right, numbers)
                done[rule] = done.get(rule, 0) + len(numbers)
    position = await events.load(backend)
    if position is not None and position.sequence > (end := await backend.index.read(change_feed.last_sequence)):
        await events.save(end, position.etag, backend)
        done["event_position"] = 1
    return done
