"""What a failed transaction means: do it again, another was first, or the database cannot be used now."""

import re

from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from shared.errors import Conflict, Unavailable

ATTEMPTS = 3
"""How often a piece of work is done in all when another writer was first or the engine asks for it."""

_COME_BACK = frozenset({40613, 40197, 40501, 49918, 49919, 49920, 10928, 10929})
"""Azure SQL wakes, moves or throttles."""

_TRANSIENT = _COME_BACK | {1205, 3960, 1222}
"""Also deadlock, snapshot conflict and lock timeout."""

_TIMED_OUT = frozenset({"HYT00", "HYT01"})
"""SQLSTATE of a statement that ran for too long, or of a login: once more takes as long once more."""

_ERROR_NUMBER = re.compile(r"\((\d{3,5})\)")


class Overtaken(Conflict):
    """Another transaction changed a row since this one read it; the work is done again from the start."""


def overtaken(error: Exception) -> bool:
    """Whether another writer was first: a unique or foreign key broke, or a row is not as it was read."""
    return isinstance(error, (IntegrityError, Overtaken))


def breaks_transaction(error: Exception) -> bool:
    """Whether the driver's *error* leaves no transaction to go on with: no space, no connection, a lock."""
    return isinstance(error, OperationalError) or type(error) is DatabaseError


def asks_to_come_back(error: Exception) -> bool:
    """Whether the driver's own *error* says that the database will be there soon: it wakes, moves or is too busy."""
    return not _numbers(error).isdisjoint(_COME_BACK)


def is_transient(error: Exception) -> bool:
    """Whether the engine asks to be called again (error numbers of Azure SQL, SQLSTATE class 08)."""
    if not isinstance(error, DBAPIError) or not isinstance(error.orig, Exception) or not error.orig.args:
        return False
    state = str(error.orig.args[0])
    if state in _TIMED_OUT:
        return False
    return state.startswith("08") or error.connection_invalidated or not _numbers(error.orig).isdisjoint(_TRANSIENT)


def translated(error: Exception) -> Exception:
    """Return *error* as one of ours, with itself as the cause; a fault of the program stays as it is."""
    ours: Exception
    if overtaken(error):
        ours = Conflict("Other requests changed the same resource first; send the request again.")
    elif breaks_transaction(error) or is_transient(error) or _is_of_connection(error):
        ours = Unavailable("The database does not answer.")
    else:
        return error
    ours.__cause__ = error
    return ours


def _is_of_connection(error: Exception) -> bool:
    """Whether the database could not be asked: no login, no driver, no answer that the driver has a class for."""
    if isinstance(error, DBAPIError):
        return isinstance(error, InterfaceError) or type(error) is DBAPIError
    return isinstance(error, SQLAlchemyError)


def _numbers(error: Exception) -> set[int]:
    """Return the server's error numbers, which pyodbc gives only inside the text, in parentheses."""
    return {int(number) for number in _ERROR_NUMBER.findall(str(error.args[-1]))} if error.args else set()
