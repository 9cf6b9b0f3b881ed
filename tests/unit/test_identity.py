"""The service has one identity towards Azure, that which is configured (`shared/identity.py`)."""

import pytest
from azure import identity
from azure.identity import aio

from shared.identity import blocking_credential, credential

CLIENT = "11111111-2222-3333-4444-555555555555"


async def test_in_azure() -> None:
    """With a client id it is that managed identity and nothing else."""
    assert isinstance(credential(CLIENT), aio.ManagedIdentityCredential)
    assert isinstance(blocking_credential(CLIENT), identity.ManagedIdentityCredential)


@pytest.mark.parametrize("client_id", [None, ""])
async def test_of_developer(client_id: str | None) -> None:
    """Without one it is who is logged in by azd or az; keys of the environment and the machine are not asked."""
    waiting, blocking = credential(client_id), blocking_credential(client_id)

    assert isinstance(waiting, aio.ChainedTokenCredential)
    assert isinstance(blocking, identity.ChainedTokenCredential)
    names = ["AzureDeveloperCliCredential", "AzureCliCredential"]
    assert [type(one).__name__ for one in waiting.credentials] == names
    assert [type(one).__name__ for one in blocking.credentials] == names
