"""Errors as responses (`shared/web/problems.py`; common.md, "Error bodies")."""

import logging
from http import HTTPStatus
from typing import NoReturn

import orjson
import pytest
from starlette.requests import ClientDisconnect

from shared import errors
from shared.web.problems import problem, status_of

_SECRET = "Doe^John"  # noqa: S105 - what a parser's message may quote


class _NoSuchFrame(errors.NotFound):
    """A kind of an error that the table does not list itself."""


def raised(error: Exception) -> Exception:
    """Return *error* as it is caught, its traceback and its cause with it."""
    try:
        _raise(error)
    except Exception as caught:  # noqa: BLE001 - as the endpoint does
        return caught


def _raise(error: Exception) -> NoReturn:
    raise error from ValueError(_SECRET)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.InvalidRequest, 400),
        (errors.UnsupportedVersion, 400),
        (ClientDisconnect, 400),
        (errors.Unauthorized, 401),
        (errors.Forbidden, 403),
        (errors.NotFound, 404),
        (_NoSuchFrame, 404),
        (errors.NotAcceptable, 406),
        (errors.Conflict, 409),
        (errors.PayloadTooLarge, 413),
        (errors.UnsupportedMediaType, 415),
        (errors.DependencyFailed, 424),
        (errors.Unavailable, 503),
        (errors.UnreadableFile, 500),
        (errors.DicomwebError, 500),
        (ValueError, 500),
        (TimeoutError, 500),
    ],
)
def test_status(kind: type[Exception], status: int) -> None:
    """Each kind of error has a status; what no row or row above it names is 500."""
    assert status_of(kind("x")) == status
    assert problem(raised(kind("x"))).status_code == status


def test_every_error_has_a_status() -> None:
    """Every error of ours has a status but the one that is an instance's outcome, never a request's."""
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)} - {errors.DicomwebError}

    assert {kind for kind in kinds if status_of(kind("")) == HTTPStatus.INTERNAL_SERVER_ERROR} == {
        errors.UnreadableFile
    }


def test_text() -> None:
    """The words of our own error are the body, as plain text."""
    response = problem(errors.InvalidRequest("limit is 'x'; größer"))

    assert response.body == "limit is 'x'; größer".encode()
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("kind", [errors.InvalidRequest, errors.NotFound, errors.Unavailable])
def test_markup(kind: type[errors.DicomwebError]) -> None:
    """What is echoed from a request never is markup."""
    response = problem(kind("'<script>alert(1)</script>&' is no UID"))

    assert response.body == b"'&lt;script&gt;alert(1)&lt;/script&gt;&amp;' is no UID"


@pytest.mark.parametrize("error", [errors.NotFound(""), errors.NotAcceptable(""), ClientDisconnect(_SECRET)], ids=repr)
def test_no_text(error: Exception) -> None:
    """An error without words of ours has no body, and nothing that says what type it is of."""
    response = problem(error)

    assert response.body == b""
    assert "content-type" not in response.headers


@pytest.mark.parametrize(
    "error",
    [
        ValueError(_SECRET),
        KeyError(_SECRET),
        errors.UnreadableFile(_SECRET),
        UnicodeDecodeError("x", b"x", 0, 1, _SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
def test_unexpected(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The text of an unexpected exception, which may quote values, reaches neither client nor log."""
    with caplog.at_level(logging.DEBUG):
        response = problem(raised(error))

    assert response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert _SECRET.encode() not in response.body
    assert _SECRET not in caplog.text


def test_unexpected_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is one record for the operator: its kind, and where it was raised."""
    problem(raised(ZeroDivisionError(_SECRET)))

    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "ZeroDivisionError" in record.message
    assert __file__ in record.message


@pytest.mark.parametrize(
    "error",
    [errors.InvalidRequest("x"), errors.Unavailable("x"), ClientDisconnect()],
    ids=lambda error: type(error).__name__,
)
def test_expected_is_not_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """What a client did wrong, or can try again, is no error of ours."""
    problem(raised(error))

    assert not caplog.records


def test_unsupported_version() -> None:
    """A version that does not exist is answered in JSON (api-versioning.md)."""
    response = problem(errors.UnsupportedVersion("There is no 3."))

    assert response.headers["content-type"] == "application/json"
    assert orjson.loads(response.body) == {"error": {"code": "UnsupportedApiVersion", "message": "There is no 3."}}
