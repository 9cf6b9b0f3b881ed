"""Bearer tokens: JWTs of the issuers that a deployment trusts (RFC 6750, RFC 7519; health-and-ops.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from jwt.exceptions import ExpiredSignatureError, ImmatureSignatureError, InvalidAudienceError, PyJWTError

from shared.errors import Unauthorized
from shared.web.keys import IssuerKeys

_LONGEST = 16 * 1024
_SCHEME = "bearer"
_REQUIRED = ["exp", "iss", "aud"]
_PROBLEMS: Mapping[type[Exception], str] = {
    ExpiredSignatureError: "The token has expired.",
    ImmatureSignatureError: "The token is not valid yet.",
    InvalidAudienceError: "The token is for another audience.",
}
"""What is said of a token whose signature holds; of others nothing is said."""

_HOLDS_NOT = "The token does not hold."


class Tokens:
    """Checks tokens.

    Parameters
    ----------
    issuers
        Keys by the name that tokens and discovery document have for an issuer.
    audiences
        Any of which a token must be for.
    skew_s
        By how much clocks may differ, in seconds.
    """

    def __init__(self, issuers: Mapping[str, IssuerKeys], audiences: Sequence[str], skew_s: int) -> None:
        self._issuers = issuers
        self._audiences = audiences
        self._skew_s = skew_s
        self._authority = next(iter(issuers))

    async def claims(self, authorization: Sequence[str]) -> dict[str, Any]:
        """Return the claims of the token in the values of `Authorization`.

        Raises
        ------
        Unauthorized
            There is none, or it does not hold.
        Unavailable
            Its issuer's keys cannot be fetched.
        """
        token = self._token(authorization)
        try:
            head = jwt.get_unverified_header(token)
            # Only to choose whose keys to ask for; it is checked with everything else below.
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except (PyJWTError, ValueError, RecursionError) as error:
            raise self._refused(_HOLDS_NOT) from error
        keys = self._issuers.get(issuer) if isinstance(issuer, str) else None
        key_id = head.get("kid")
        if keys is None or not isinstance(key_id, str | None):
            raise self._refused(_HOLDS_NOT)
        key = await keys.find(key_id)
        if key is None:
            raise self._refused(_HOLDS_NOT)
        try:
            return jwt.decode(
                token,
                key.public,
                algorithms=sorted(key.algorithms),
                audience=self._audiences,
                issuer=issuer,
                leeway=self._skew_s,
                options={"require": _REQUIRED},
            )
        except (PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise self._refused(_PROBLEMS.get(type(error), _HOLDS_NOT)) from error

    def _token(self, authorization: Sequence[str]) -> str:
        if not authorization:
            raise Unauthorized("This service asks for a bearer token.", self._authority, is_refused=False)
        scheme, _, token = authorization[0].strip().partition(" ")
        if len(authorization) > 1 or scheme.lower() != _SCHEME or len(token) > _LONGEST:
            raise self._refused("Authorization is not one bearer token.")
        return token.strip()

    def _refused(self, problem: str) -> Unauthorized:
        return Unauthorized(problem, self._authority)
