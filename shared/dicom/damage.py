"""Why reading stops within a data set, other than for good."""

from shared.errors import UnreadableFile


class Incomplete(Exception):
    """The window ends within what begins at *start* in it; *wanted* bytes of that are needed, 0 if it is not known."""

    def __init__(self, start: int, wanted: int) -> None:
        super().__init__(start, wanted)
        self.start = start
        self.wanted = wanted


class Damaged(UnreadableFile):
    """The inside of a sequence does not fit its outside; pydicom may still read it."""
