"""The public keys of an issuer of tokens, fetched and remembered (OpenID Connect Discovery §4, RFC 7517)."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from shared.errors import Unavailable

log = logging.getLogger(__name__)

FRESH_S = 3600
"""Keys are fetched anew when they are this old."""
USABLE_S = 24 * 3600
"""Keys that cannot be fetched anew count as long as this."""
PAUSE_S = 30
"""Between two fetches, however many unknown keys are asked for."""
PAUSE_AFTER_FAULT_S = 5

_FETCH_S = 5
_MOST_BYTES = 2**20
_MOST_KEYS = 100
_LEAST_RSA_BITS = 2048
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_OF_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the algorithms that a signature by it may have; never `none`, never a symmetric one."""

    public: RSAPublicKey | EllipticCurvePublicKey
    algorithms: frozenset[str]


async def fetch(url: str) -> bytes:
    """Return what *url* answers; raise `Unavailable` where that is not 200 within seconds, or too long."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_FETCH_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            content = bytearray()
            async for chunk in answer.content.iter_chunked(2**16):
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise Unavailable("The issuer's answer is too long.")
            if answer.status != 200:  # noqa: PLR2004
                raise Unavailable(f"The issuer answers {answer.status}.")
            return bytes(content)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise Unavailable("The issuer does not answer.") from error


class IssuerKeys:
    """The keys of one issuer.

    An unknown key id makes them be fetched anew, but not more often than once in `PAUSE_S`: forged key ids do not
    make us hammer the issuer.
    """

    def __init__(self, issuer: str, *, fetch: Fetch = fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._has_failed = False
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> Key | None:
        """Return the key of this id; a token may leave the id out where the issuer has one key only.

        Raises
        ------
        Unavailable
            The keys cannot be fetched, so nobody knows.
        """
        found = self._find(key_id)
        is_fresh = self._clock() - self._fetched_at < FRESH_S
        if found is not None and (is_fresh or self._lock.locked()):
            return found
        async with self._lock:
            pause_s = PAUSE_AFTER_FAULT_S if self._has_failed else PAUSE_S
            if self._clock() - self._tried_at >= pause_s:
                await self._refresh()
        found = self._find(key_id)
        if found is None and self._has_failed:
            raise Unavailable("The keys of the issuer of tokens cannot be fetched.")
        return found

    def _find(self, key_id: str | None) -> Key | None:
        if self._clock() - self._fetched_at > USABLE_S:
            return None
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            self._keys = await self._fetched()
        except Unavailable as error:
            self._has_failed = True
            # Those who waited meanwhile are told so, too: each trying for itself would make a queue of minutes.
            self._tried_at = self._clock()
            log.warning("the keys of the issuer cannot be fetched: %s", error)
        else:
            self._has_failed = False
            self._fetched_at = self._clock()

    async def _fetched(self) -> dict[str, Key]:
        discovered = _object(await self._fetch(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"))
        url = discovered.get("jwks_uri")
        if discovered.get("issuer") != self._issuer:
            raise Unavailable("The issuer calls itself otherwise than AUTH_ISSUERS does.")
        if not isinstance(url, str) or not url.startswith(("https://", self._issuer.partition("//")[0] + "//")):
            raise Unavailable("The issuer names no address of its keys.")
        rows = _object(await self._fetch(url)).get("keys")
        keys = read_keys(rows if isinstance(rows, list) else [])
        if not keys:
            raise Unavailable("The issuer has no key that could be used.")
        return keys


def read_keys(rows: list[Any]) -> dict[str, Key]:
    """Return the keys among *rows* (RFC 7517 §4) that may sign tokens, by their ids."""
    keys = {}
    for row in rows[:_MOST_KEYS]:
        if not isinstance(row, dict) or row.get("use", "sig") != "sig":
            continue
        key = _key(row)
        if key is not None:
            keys[str(row.get("kid", ""))] = key
    return keys


def _key(row: Mapping[str, Any]) -> Key | None:
    read = _READERS.get(str(row.get("kty")))
    if read is None or "d" in row:
        return None
    try:
        public = read(dict(row))
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    algorithms: frozenset[str] = frozenset()
    if isinstance(public, RSAPublicKey) and public.key_size >= _LEAST_RSA_BITS:
        algorithms = _RSA
    elif isinstance(public, EllipticCurvePublicKey):
        algorithms = frozenset({_OF_CURVE[public.curve.name]} if public.curve.name in _OF_CURVE else ())
    if "alg" in row:
        algorithms &= {str(row["alg"])}
    return (
        Key(public, algorithms) if algorithms and isinstance(public, (RSAPublicKey, EllipticCurvePublicKey)) else None
    )


_READERS: Mapping[str, Callable[[dict[str, Any]], object]] = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk}


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise Unavailable("The issuer's answer is no JSON.") from error
    if not isinstance(found, dict):
        raise Unavailable("The issuer's answer is no JSON object.")
    return found
