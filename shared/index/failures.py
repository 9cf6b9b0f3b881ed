"""What a failed transaction means: do it again, another was first, or the database cannot be used now."""

import re

from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from shared.errors import Conflict, Unavailable

ATTEMPTS = 3
"""How often a piece of work is done in all when another writer was first or the engine asks for it."""

_TRANSIENT = frozenset(
    {40613, 40197, 40501, 49918, 49919, 49920, 10928, 10929}  # Azure SQL moves, throttles or wakes
    | {1205, 3960, 1222}  # deadlock, snapshot conflict, lock timeout
)
_ERROR_NUMBER = re.compile(r"\((\d{3,5})\)")


class Overtaken(Conflict):
    """Another transaction changed a row since this one read it; the work is done again from the start."""


def overtaken(error: Exception) -> bool:
    """Whether another writer was first: a unique or foreign key broke, or a row is not as it was read."""
    return isinstance(error, (IntegrityError, Overtaken))


def breaks_transaction(error: Exception) -> bool:
    """Whether the driver's *error* leaves no transaction to go on with: no space, no connection, a lock."""
    return isinstance(error, OperationalError) or type(error) is DatabaseError


def is_transient(error: Exception) -> bool:
    """Whether the engine asks to be called again (error numbers of Azure SQL, SQLSTATE class 08)."""
    if not isinstance(error, DBAPIError) or error.orig is None or not error.orig.args:
        return False
    state = str(error.orig.args[0])
    # pyodbc gives the server's error number only inside the text, in parentheses.
    numbers = {int(number) for number in _ERROR_NUMBER.findall(str(error.orig.args[-1]))}
    return state.startswith("08") or error.connection_invalidated or not numbers.isdisjoint(_TRANSIENT)


def translated(error: Exception) -> Exception:
    """Return *error* as one of ours, with itself as the cause; a fault of the program stays as it is."""
    ours: Exception
    if overtaken(error):
        ours = Conflict("Other requests changed the same resource first; send the request again.")
    elif breaks_transaction(error) or (isinstance(error, SQLAlchemyError) and not isinstance(error, DBAPIError)):
        ours = Unavailable("The database does not answer.")
    else:
        return error
    ours.__cause__ = error
    return ours
