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
    """No token, or one that does not hold."""


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
