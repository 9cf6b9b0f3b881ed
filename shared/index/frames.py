"""Where the frames of a published instance lie."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from shared.index.instances import find, find_frame_page
from shared.index.tables import frame_page
from shared.model import FramePage, Scope, StoredInstance


def locate(
    connection: Connection, scope: Scope, frames: Sequence[int]
) -> tuple[StoredInstance | None, list[FramePage | None]]:
    """Return the instance of *scope* and, for each of its *frames*, the page that holds it, if one does."""
    found = find(connection, scope, limit=1)
    if not found:
        return None, []
    [instance] = found
    return instance, pages_for(connection, instance.version, frames)


def pages_for(connection: Connection, version: int, frames: Sequence[int]) -> list[FramePage | None]:
    """Return for each of some *frames* of a published version the page that holds it, if one does."""
    pages: list[FramePage | None] = []
    page: FramePage | None = None
    for frame in frames:
        if page is None or not page.first_frame <= frame < page.first_frame + page.frame_count:
            page = find_frame_page(connection, version, frame)
        pages.append(page)
    return pages


def pages_of(connection: Connection, version: int) -> list[FramePage]:
    """Return all pages of a published version, in order of their frames."""
    return [FramePage(*row) for row in connection.execute(_PAGES, {"of": version})]


_PAGES = (
    select(
        frame_page.c.first_frame,
        frame_page.c.frame_count,
        frame_page.c.offset_bytes,
        frame_page.c.frame_bits,
        frame_page.c.fragments,
    )
    .where(frame_page.c.version == bindparam("of"))
    .order_by(frame_page.c.first_frame)
)
