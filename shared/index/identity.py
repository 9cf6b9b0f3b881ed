"""Logging in to Azure SQL with an identity: an access token in place of a password (azure-sql.md)."""

import struct
from collections.abc import Callable
from typing import Any

from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from sqlalchemy import Engine, event

_SCOPE = "https://database.windows.net/.default"
_ACCESS_TOKEN = 1256
"""SQL_COPT_SS_ACCESS_TOKEN of Microsoft's ODBC driver: the token goes in before the connection is made."""

Token = Callable[[], str]


def token_of(client_id: str) -> Token:
    """Return what gives an access token of the user-assigned identity *client_id*, else of the developer's login.

    The credential keeps a token until it is about to expire.
    """
    credential = ManagedIdentityCredential(client_id=client_id) if client_id else DefaultAzureCredential()
    return lambda: str(credential.get_token(_SCOPE).token)


def log_in_by_token(engine: Engine, token: Token) -> None:
    """Have each new connection of *engine* log in with a token."""

    def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
        # Without a user SQLAlchemy asks for the login of the operating system, which goes before a token.
        arguments[0] = arguments[0].replace(";Trusted_Connection=Yes", "")
        encoded = token().encode("utf-16-le")
        options["attrs_before"] = {_ACCESS_TOKEN: struct.pack(f"<I{len(encoded)}s", len(encoded), encoded)}

    event.listen(engine, "do_connect", connect)
