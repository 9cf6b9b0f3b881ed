"""An issuer of tokens on this machine: real keys, real HTTP."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

AUDIENCE = "api://dicom"


@cache
def key_of(name: str) -> RSAPrivateKey:  # noqa: ARG001 - it tells keys apart
    """Return a key to sign with; each name has its own."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key: RSAPrivateKey, key_id: str, **changes: str) -> dict[str, Any]:
    """Return the public part of a key as issuers show it."""
    return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id, "use": "sig"} | changes


class Issuer:
    """Answers with its discovery document and its keys, and counts how often it was asked for them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, RSAPrivateKey] = {"one": key_of("one")}
        self.fetches = 0
        self.is_down = False
        self.algorithm: str | None = None

    def answer(self, path: str) -> Mapping[str, Any] | None:
        """Return the document at *path*."""
        if self.is_down:
            return None
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.fetches += 1
        changes = {"alg": self.algorithm} if self.algorithm else {}
        return {"keys": [jwk(key, key_id, **changes) for key_id, key in self.keys.items()]}

    def claims(self, roles: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
        """Return the claims of a token that holds, but for *changes*; None leaves a claim out."""
        now = int(time.time())
        given = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "roles": [*roles],
        }
        return {name: value for name, value in (given | changes).items() if value is not None}

    def token(self, *roles: str, key: Any = None, key_id: str = "one", algorithm: str = "RS256", **changes: Any) -> str:
        """Return a signed token."""
        signing = self.keys["one"] if key is None else key
        headers = {"kid": key_id} if key_id else None
        return jwt.encode(self.claims(roles, **changes), signing, algorithm, headers)


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer for the length of a block."""
    known: list[Issuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = known[0].answer(self.path)
            body = json.dumps(found).encode()
            self.send_response(503 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of what it replaces
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.append(Issuer(f"http://127.0.0.1:{server.server_port}"))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield known[0]
        server.shutdown()


def bearer(token: str) -> dict[str, str]:
    """Return the header field that carries a token."""
    return {"Authorization": f"Bearer {token}"}
