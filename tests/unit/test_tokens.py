"""Tokens and the keys of their issuers (`shared/web/tokens.py`, `shared/web/keys.py`), against an issuer over HTTP."""

import asyncio
import base64
import hmac
import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from jwt.exceptions import InvalidAlgorithmError

from shared.errors import Unauthorized, Unavailable
from shared.web.keys import FRESH_S, PAUSE_AFTER_FAULT_S, PAUSE_S, USABLE_S, IssuerKeys, read_keys
from shared.web.tokens import Tokens
from tests.issuer import AUDIENCE, Issuer, issuing, jwk, key_of


class Clock:
    """Stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as found:
        yield found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(issuer: Issuer, clock: Clock) -> Tokens:
    return Tokens({issuer.url: IssuerKeys(issuer.url, clock=clock)}, ["api://other", AUDIENCE], 60)


async def test_holds(tokens: Tokens, issuer: Issuer) -> None:
    """A token of the issuer gives its claims; the scheme's case and several audiences do not matter."""
    for value in (f"Bearer {issuer.token('r')}", f"bearer  {issuer.token('r', aud=['x', AUDIENCE])}"):
        assert (await tokens.claims([value]))["roles"] == ["r"]
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 2**32},
        {"iat": 2**32},
        {"aud": "x"},
        {"aud": None},
        {"aud": []},
        {"iss": "https://x"},
        {"iss": None},
        {"exp": "soon"},
        {"key_id": "two"},
        {"key_id": "", "key": key_of("other")},
        {"key": key_of("other")},
        {"algorithm": "HS256", "key": "secret-secret-secret-secret-secret"},
        {"algorithm": "none", "key": ""},
        {"algorithm": "ES256", "key": ec.generate_private_key(ec.SECP256R1())},
    ],
    ids="-".join,
)
async def test_refused(tokens: Tokens, issuer: Issuer, changes: dict[str, Any]) -> None:
    """A token that breaks one rule does not hold."""
    with pytest.raises(Unauthorized):
        await tokens.claims([f"Bearer {issuer.token('owner', **changes)}"])


@pytest.mark.parametrize("skew_s", [-50, 50])
async def test_skew(tokens: Tokens, issuer: Issuer, skew_s: int) -> None:
    """Clocks may differ by a minute."""
    now = issuer.claims()["iat"]

    assert await tokens.claims([f"Bearer {issuer.token(exp=now + skew_s, nbf=now - skew_s)}"])


async def test_public_key_as_secret(tokens: Tokens, issuer: Issuer) -> None:
    """A signature by HMAC whose secret is the public key, which everyone has, does not hold (RFC 8725 §2.1)."""
    public = issuer.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [{"alg": "HS256", "kid": "one", "typ": "JWT"}, issuer.claims(["owner"])]
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(public, signed, "sha256")).rstrip(b"=")

    with pytest.raises(Unauthorized):
        await tokens.claims([f"Bearer {(signed + b'.' + signature).decode()}"])


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS384", "HS512", "hs256", "RS1", "EdDSA", "ES256", ""])
async def test_algorithms(tokens: Tokens, issuer: Issuer, algorithm: str) -> None:
    """The list of algorithms refuses what is not on it, before anything looks at the signature."""
    parts = [{"alg": algorithm, "kid": "one", "typ": "JWT"}, issuer.claims(["owner"])]
    head, claims = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)

    with pytest.raises(Unauthorized) as refused:
        await tokens.claims([f"Bearer {head}.{claims}.c2lnbmF0dXJl"])

    assert isinstance(refused.value.__cause__, InvalidAlgorithmError)


@pytest.mark.parametrize(
    "values",
    [
        ["Bearer"],
        ["Bearer "],
        ["Bearer a.b.c"],
        ["Bearer ä"],
        ["Basic YTpi"],
        ["Bearer a", "Bearer b"],
        ["Bearer " + "a" * 20_000],
        ["Bearer e30.W10.x"],
    ],
)
async def test_malformed(tokens: Tokens, issuer: Issuer, values: list[str]) -> None:
    """What is no token is refused before anybody is asked for keys."""
    with pytest.raises(Unauthorized) as refused:
        await tokens.claims(values)

    assert refused.value.is_refused
    assert issuer.fetches == 0


async def test_absent(tokens: Tokens, issuer: Issuer) -> None:
    """Who sends no token is told where to get one, and not that it was wrong (RFC 6750 §3.1)."""
    with pytest.raises(Unauthorized) as refused:
        await tokens.claims([])

    assert (refused.value.authority, refused.value.is_refused) == (issuer.url, False)


async def test_says_little(tokens: Tokens, issuer: Issuer) -> None:
    """Of a token whose signature does not hold nothing else is said: a forger learns nothing."""
    with pytest.raises(Unauthorized, match="The token does not hold"):
        await tokens.claims([f"Bearer {issuer.token(key=key_of('other'), exp=1)}"])


async def test_rotation(tokens: Tokens, issuer: Issuer, clock: Clock) -> None:
    """A new key counts as soon as a token names it; a key that is gone counts no longer once keys are fetched anew."""
    old = f"Bearer {issuer.token()}"
    await tokens.claims([old])
    issuer.keys = {"two": key_of("two")}
    clock.now += PAUSE_S

    assert await tokens.claims([f"Bearer {issuer.token(key=issuer.keys['two'], key_id='two')}"])
    with pytest.raises(Unauthorized):
        await tokens.claims([old])


async def test_forged_ids(tokens: Tokens, issuer: Issuer, clock: Clock) -> None:
    """However many unknown key ids come, the issuer is asked once in a while, and good tokens hold meanwhile."""
    await tokens.claims([f"Bearer {issuer.token()}"])
    for second in range(2 * PAUSE_S):
        clock.now += 1
        with pytest.raises(Unauthorized):
            await tokens.claims([f"Bearer {issuer.token(key_id=f'forged-{second}')}"])
        assert await tokens.claims([f"Bearer {issuer.token()}"])

    assert issuer.fetches == 3


async def test_unreachable(tokens: Tokens, issuer: Issuer, clock: Clock) -> None:
    """While keys were never fetched nobody gets in, by no fault of the caller; afterwards without a restart."""
    issuer.is_down = True
    with pytest.raises(Unavailable):
        await tokens.claims([f"Bearer {issuer.token()}"])
    issuer.is_down = False
    with pytest.raises(Unavailable):
        await tokens.claims([f"Bearer {issuer.token()}"])
    clock.now += PAUSE_AFTER_FAULT_S

    assert await tokens.claims([f"Bearer {issuer.token()}"])


async def test_at_once(tokens: Tokens, issuer: Issuer) -> None:
    """However many come first, the keys are fetched once."""
    found = await asyncio.gather(*(tokens.claims([f"Bearer {issuer.token()}"]) for _ in range(100)))

    assert len(found) == 100
    assert issuer.fetches == 1


async def test_slow_fault(clock: Clock) -> None:
    """Who waits while the keys are being asked for in vain does not ask again after that, one behind the other."""
    asked = 0

    async def fetch(_url: str) -> bytes:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        clock.now += 2 * PAUSE_AFTER_FAULT_S
        raise Unavailable("It does not answer in time.")

    keys = IssuerKeys("https://i.example", fetch=fetch, clock=clock)
    found = await asyncio.gather(*(keys.find("one") for _ in range(100)), return_exceptions=True)

    assert asked == 1
    assert all(isinstance(one, Unavailable) for one in found)


async def test_outage(tokens: Tokens, issuer: Issuer, clock: Clock) -> None:
    """Keys that were fetched count for a day when the issuer is out of reach, and no longer."""
    await tokens.claims([f"Bearer {issuer.token()}"])
    issuer.is_down = True

    clock.now += FRESH_S + 1
    assert await tokens.claims([f"Bearer {issuer.token()}"])
    clock.now += USABLE_S
    with pytest.raises(Unavailable):
        await tokens.claims([f"Bearer {issuer.token()}"])


async def test_only_key(tokens: Tokens, issuer: Issuer) -> None:
    """A token may leave out which key it is signed by where there is one only."""
    plain = jwt.encode(issuer.claims(), issuer.keys["one"], "RS256")

    assert await tokens.claims([f"Bearer {plain}"])


async def test_algorithm_of_key(tokens: Tokens, issuer: Issuer) -> None:
    """Where an issuer says which algorithm a key is for, another one does not hold."""
    issuer.algorithm = "RS512"

    assert await tokens.claims([f"Bearer {issuer.token(algorithm='RS512')}"])
    with pytest.raises(Unauthorized):
        await tokens.claims([f"Bearer {issuer.token(algorithm='RS256')}"])


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"issuer": "https://i.example", "jwks_uri": "http://i.example/keys"}',
        b'{"issuer": "https://i.example", "jwks_uri": "file:///etc/passwd"}',
        b'{"issuer": "https://other.example", "jwks_uri": "https://i.example/keys"}',
    ],
)
async def test_bad_document(document: bytes) -> None:
    """Keys come from where the issuer says, by https, if it is the issuer that was meant."""

    async def fetch(url: str) -> bytes:
        return document if url.endswith("configuration") else json.dumps({"keys": [jwk(key_of("one"), "one")]}).encode()

    with pytest.raises(Unavailable):
        await IssuerKeys("https://i.example", fetch=fetch).find("one")


def test_usable_keys() -> None:
    """Only public keys to sign with count, of the types and lengths that hold, with the algorithms of their type."""
    key, curve = key_of("other"), ec.generate_private_key(ec.SECP384R1())
    short = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it is refused
    rows = [
        jwk(key, "rsa"),
        jwk(key, "only", alg="PS512"),
        ECAlgorithm.to_jwk(curve.public_key(), as_dict=True) | {"kid": "curve"},
        jwk(key, "encrypts", use="enc"),
        jwk(key, "symmetric", alg="HS256"),
        jwk(short, "short"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        jwk(key, "private", d="AQ"),
        jwk(key, "broken", n="!"),
        ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True) | {"kid": "k1"},
        "x",
    ]

    found = {key_id: sorted(key.algorithms) for key_id, key in read_keys(rows).items()}

    assert found == {
        "rsa": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
        "only": ["PS512"],
        "curve": ["ES384"],
    }
