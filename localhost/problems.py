"""What can go wrong while the local host is set up."""


class SetupError(Exception):
    """The host cannot start; the message is one sentence that says what was found and expected."""
