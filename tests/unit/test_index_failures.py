"""What a driver's error means for the transaction (`shared/index/failures.py`)."""

import pytest
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError, ProgrammingError

from shared.errors import Conflict, NotFound, Unavailable
from shared.index.failures import Overtaken, is_transient, translated


def driver_error(state: str, message: str) -> DBAPIError:
    return DBAPIError("SELECT 1", None, Exception(state, message))


@pytest.mark.parametrize(
    ("state", "message", "transient"),
    [
        ("40001", "[40001] Transaction was deadlocked (1205) (SQLExecDirectW)", True),
        ("HY000", "[HY000] Database is not currently available (40613) (SQLDriverConnect)", True),
        ("42000", "[42000] Too many requests (10928) (SQLExecDirectW)", True),
        ("42000", "[42000] Snapshot isolation transaction aborted (3960) (SQLExecDirectW)", True),
        ("08S01", "[08S01] Communication link failure", True),
        ("23000", "[23000] Cannot insert duplicate key (2627) (SQLExecDirectW)", False),
        ("42S02", "[42S02] Invalid object name 'study'. (208) (SQLExecDirectW)", False),
        ("42000", "[42000] The value 1205 is wrong (102) (SQLExecDirectW)", False),
        ("database is locked", "database is locked", False),
    ],
)
def test_transient(state: str, message: str, transient: bool) -> None:
    """Only what Azure SQL asks for is done again: by error number, or SQLSTATE of a lost connection."""
    assert is_transient(driver_error(state, message)) is transient


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (IntegrityError("INSERT", None, Exception("UNIQUE")), Conflict),
        (Overtaken("first"), Conflict),
        (OperationalError("INSERT", None, Exception("disk full")), Unavailable),
        (DatabaseError("INSERT", None, Exception("malformed")), Unavailable),
        (ProgrammingError("INSERT", None, Exception("syntax")), ProgrammingError),
        (NotFound("nothing"), NotFound),
        (ValueError("bug"), ValueError),
    ],
)
def test_translated(error: Exception, ours: type[Exception]) -> None:
    """Callers see our errors, with the driver's as cause; faults of the program stay as they are."""
    result = translated(error)

    assert type(result) is ours
    assert result is error or result.__cause__ is error
