"""Who the service is towards Azure: the only place that chooses a credential.

In Azure the user-assigned identity that is configured (`DICOM_IDENTITY_CLIENT_ID`); without one whoever is logged in at
a developer's machine, by azd or the Azure CLI. Nothing else is tried: no keys in the environment, no identity that the
machine happens to have.
"""

from azure.core.credentials import TokenCredential
from azure.core.credentials_async import AsyncTokenCredential

_LONGEST_LOGIN_S = 30


def credential(client_id: str | None) -> AsyncTokenCredential:
    """Return what gives tokens to clients that run in an event loop."""
    from azure.identity import aio

    if client_id:
        return aio.ManagedIdentityCredential(client_id=client_id)
    return aio.ChainedTokenCredential(
        aio.AzureDeveloperCliCredential(process_timeout=_LONGEST_LOGIN_S),
        aio.AzureCliCredential(process_timeout=_LONGEST_LOGIN_S),
    )


def blocking_credential(client_id: str | None) -> TokenCredential:
    """Return what gives tokens to threads."""
    from azure import identity

    if client_id:
        return identity.ManagedIdentityCredential(client_id=client_id)
    return identity.ChainedTokenCredential(
        identity.AzureDeveloperCliCredential(process_timeout=_LONGEST_LOGIN_S),
        identity.AzureCliCredential(process_timeout=_LONGEST_LOGIN_S),
    )
