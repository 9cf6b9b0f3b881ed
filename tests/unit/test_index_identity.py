"""Connections to Azure SQL log in with a token (`shared/index/identity.py`)."""

import struct
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from sqlalchemy import create_engine

from shared.errors import Unavailable
from shared.index.identity import log_in_by_token, token_of

URL = (
    "mssql+pyodbc://@server.example:1433/dicom"
    "?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes&TrustServerCertificate=no"
)


class Driver:
    """A DB-API module that notes how it is asked to connect, and refuses."""

    paramstyle = "qmark"
    version = "5.0.0"
    pooling = True

    class Error(Exception):
        """As every driver has one."""

    ProgrammingError = InterfaceError = OperationalError = Error

    class Cursor:
        """As every driver has one."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def connect(self, *arguments: Any, **options: Any) -> None:
        self.asked.append((arguments, options))
        raise self.Error("refused")


def test_login() -> None:
    """Each connection has a new token, in UTF-16 behind its length, and asks for no other login (azure-sql.md)."""
    driver, tokens = Driver(), iter(["first", "second"])
    engine = create_engine(URL, module=driver)
    log_in_by_token(engine, lambda: next(tokens))

    for _ in range(2):
        with pytest.raises(Exception, match="refused"):
            engine.connect()

    strings = [arguments[0] for arguments, _ in driver.asked]
    values = [options["attrs_before"][1256] for _, options in driver.asked]
    assert [struct.unpack_from("<I", value)[0] for value in values] == [10, 12]
    assert [value[4:].decode("utf-16-le") for value in values] == ["first", "second"]
    assert all("Trusted_Connection" not in string and "PWD" not in string for string in strings)
    assert all("Encrypt=yes" in string and "server.example,1433" in string for string in strings)


def test_no_token() -> None:
    """Where the identity gets no token, the database is unavailable; the message names nobody."""

    class LoggedOut:
        def get_token(self, *_: str, **__: object) -> AccessToken:
            raise ClientAuthenticationError("server.example knows nobody")

        def close(self) -> None:
            """Nothing is held."""

    with pytest.raises(Unavailable, match="no token for the identity of the service"):
        token_of(LoggedOut())()
