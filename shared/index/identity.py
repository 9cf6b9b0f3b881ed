"""Logging in to Azure SQL with an identity: an access token in place of a password (azure-sql.md)."""

import struct
from collections.abc import Callable
from typing import Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from sqlalchemy import Engine, event

from shared.errors import Unavailable

_SCOPE = "https://database.windows.net/.default"
_ACCESS_TOKEN = 1256
"""SQL_COPT_SS_ACCESS_TOKEN of Microsoft's ODBC driver: the token goes in before the connection is made."""

Token = Callable[[], str]


def token_of(credential: TokenCredential) -> Token:
    """Return what gives an access token; the credential keeps one until it is about to expire."""

    def token() -> str:
        try:
            return str(credential.get_token(_SCOPE).token)
        except AzureError as error:
            raise Unavailable("No login to the database: there is no token for the identity of the service.") from error

    return token


def log_in_by_token(engine: Engine, token: Token) -> None:
    """Have each new connection of *engine* log in with a token."""

    def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
        # Without a user SQLAlchemy asks for the login of the operating system, which goes before a token.
        arguments[0] = arguments[0].replace(";Trusted_Connection=Yes", "")
        encoded = token().encode("utf-16-le")
        options["attrs_before"] = {_ACCESS_TOKEN: struct.pack(f"<I{len(encoded)}s", len(encoded), encoded)}

    event.listen(engine, "do_connect", connect)
