"""Clients of Azure Storage that know how to log in: by a connection string (Azurite), else by managed identity."""

import logging
from typing import Any
from urllib.request import getproxies_environment

from azure.core.credentials_async import AsyncTokenCredential
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

from shared.errors import Unavailable
from shared.identity import credential

SINGLE_PUT_BYTES = 64 * 2**20
"""Blobs up to this length are written by one request."""

RANGE_BYTES = 4 * 2**20
"""What one request reads at most."""

# At INFO the SDKs log the URL of every request.
logging.getLogger("azure").setLevel(logging.WARNING)

_CONNECT_S = 5
_ANSWER_S = 30
_RETRIES = 2


def blob_service(connection_string: str | None, account_url: str | None, client_id: str | None) -> BlobServiceClient:
    """Return a client of the Blob service; close it and its `credential` in the end.

    Parameters
    ----------
    connection_string
        Of Azurite; goes before *account_url*.
    account_url
        The https URL of the service, reached by identity.
    client_id
        Of the user-assigned identity; None where there is only one.

    Raises
    ------
    Unavailable
        The connection string or URL cannot be used.
    """
    options: dict[str, Any] = {
        # This makes each further try at a random time within two seconds.
        "retry_policy": ExponentialRetry(
            initial_backoff=0, increment_base=1, random_jitter_range=1, retry_total=_RETRIES
        ),
        "max_single_put_size": SINGLE_PUT_BYTES,
        "max_single_get_size": RANGE_BYTES,
        "max_chunk_get_size": RANGE_BYTES,
        **_transport_options(),
    }
    try:
        if connection_string:
            return BlobServiceClient.from_connection_string(connection_string, **options)
        return BlobServiceClient(account_url or "", credential=credential(client_id), **options)
    except ValueError as error:
        raise Unavailable("The address of the Blob service is not a usable connection string or URL.") from error


def table_service(connection_string: str | None, account_url: str | None, client_id: str | None) -> TableServiceClient:
    """Return a client of the Table service; the arguments and what to close are as for `blob_service`."""
    options: dict[str, Any] = {
        "retry_total": _RETRIES,
        "retry_backoff_factor": 0.5,
        "retry_backoff_max": 2,
        **_transport_options(),
    }
    try:
        if connection_string:
            return TableServiceClient.from_connection_string(connection_string, **options)
        return TableServiceClient(account_url or "", credential=credential(client_id), **options)
    except ValueError as error:
        raise Unavailable("The address of the Table service is not a usable connection string or URL.") from error


async def close(service: BlobServiceClient | TableServiceClient) -> None:
    """Give back the connections of a client and of its login."""
    await service.close()
    if isinstance(service.credential, AsyncTokenCredential):
        await service.credential.close()


def _transport_options() -> dict[str, Any]:
    return {
        "connection_timeout": _CONNECT_S,
        "read_timeout": _ANSWER_S,
        # Looking for a proxy costs two thread hops a request, so only where the environment names one.
        "use_env_settings": bool(getproxies_environment()),
    }
