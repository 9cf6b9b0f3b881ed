"""What can go wrong, named for what happened; `web/problems.py` alone knows the HTTP status of each."""


class DicomwebError(Exception):
    """Root of everything this service raises on purpose; its text is written for the client."""


class InvalidRequest(DicomwebError):
    """The request breaks a rule: a parameter, an identifier, a header or the shape of the body."""


class UnsupportedVersion(InvalidRequest):
    """A well-formed API version that does not exist."""


class UrlTooLong(DicomwebError):
    """Path and query are over the limit."""


class Unauthorized(DicomwebError):
    """No token, or one that does not hold.

    Parameters
    ----------
    authority
        Who gives tokens: a URL; "" where nobody does.
    is_refused
        Whether there was a token.
    """

    def __init__(self, problem: str, authority: str = "", *, is_refused: bool = True) -> None:
        super().__init__(problem)
        self.authority = authority
        self.is_refused = is_refused


class Forbidden(DicomwebError):
    """The caller is known and may not do this."""


class NotFound(DicomwebError):
    """Nothing is there, or nothing that this caller can see."""


class NotAcceptable(DicomwebError):
    """None of the representations that the client accepts can be given."""


class NotDecodable(NotAcceptable):
    """Pixel data that cannot be decoded, transcoded or rendered; says why."""


class Conflict(DicomwebError):
    """The state of the resource forbids it: it exists already, or it changed since it was read."""


class OperationRunning(Conflict):
    """A long-running operation must end first; `operation` is its id."""

    def __init__(self, problem: str, operation: str = "") -> None:
        super().__init__(problem)
        self.operation = operation


class HeaderTooLarge(DicomwebError):
    """The header has too many fields, or too many bytes."""


class PayloadTooLarge(DicomwebError):
    """The body, or one part of it, is over a limit."""


class UnsupportedMediaType(DicomwebError):
    """The body's media type is not one that this resource takes."""


class UnreadableFile(DicomwebError):
    """A body that is not a readable DICOM Part 10 file (PS3.10 §7); says at which byte and why.

    Parameters
    ----------
    problem
        What is wrong, without a value.
    tag
        Of the element where it shows, as 8 hexadecimal digits; "" when the file as a whole is at fault.
    """

    def __init__(self, problem: str, tag: str = "") -> None:
        super().__init__(f"({tag[:4]},{tag[4:]}) {problem}" if tag else problem)
        self.problem = problem
        self.tag = tag


class DependencyFailed(DicomwebError):
    """The customer's own storage or key cannot be used."""


class Unavailable(DicomwebError):
    """Our storage or database does not answer, or asks to be called later."""


class Busy(Unavailable):
    """There is more to do than this process can; `retry_after_s` says when to come again."""

    def __init__(self, problem: str, retry_after_s: int = 1) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


class TooManyRequests(DicomwebError):
    """The caller has used up what is allowed at a time; `retry_after_s` says when there is more."""

    def __init__(self, problem: str, retry_after_s: int = 1) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s
