"""Who calls, and what they may do (health-and-ops.md, "Authentication", "Authorization")."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from shared.errors import Forbidden
from shared.grants import EVERYTHING, Grant, granted, read_policy
from shared.model import Action
from shared.settings import Settings, require_access, words

if TYPE_CHECKING:
    from shared.web.tokens import Tokens

log = logging.getLogger(__name__)

_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: names are "" where no tokens are asked for.

    Parameters
    ----------
    issuer, subject, application
        Who says so, who it is, and by which application.
    grants
        What they have of the policy.
    """

    grants: tuple[Grant, ...]
    issuer: str = ""
    subject: str = ""
    application: str = ""

    def may(self, action: Action, partition: str) -> bool:
        """Whether the caller may do *action* in the partition called *partition*."""
        within = self.within(action)
        return within is None or partition.lower() in within

    def may_anywhere(self, action: Action) -> bool:
        """Whether there is any partition in which the caller may do *action*."""
        within = self.within(action)
        return within is None or bool(within)

    def within(self, action: Action) -> frozenset[str] | None:
        """Return the names, in lower case, of the partitions in which the caller may do *action*; None: all."""
        fitting = [grant.partitions for grant in self.grants if action in grant.actions]
        if None in fitting:
            return None
        return frozenset(name for names in fitting if names is not None for name in names)


EVERYONE = Caller((EVERYTHING,))
"""Who calls a service that asks for no tokens."""


class Access:
    """Knows callers by their tokens; without issuers everyone may do everything, and one line warns of that.

    Raises
    ------
    InvalidSetting
        No tokens are asked for, and nothing says that this is meant.
    """

    def __init__(self, settings: Settings) -> None:
        require_access(settings)
        self._policy = read_policy(settings.access_policy)
        self._tokens = _tokens(settings) if settings.auth_issuers.strip() else None
        if self._tokens is None:
            log.warning("no tokens are asked for: whoever reaches this service may read, change and delete everything")

    async def caller_of(self, http: Request) -> Caller:
        """Return who calls; errors as of `Tokens.claims`."""
        if self._tokens is None:
            return EVERYONE
        claims = await self._tokens.claims(http.headers.getlist("authorization"))
        return Caller(
            granted(self._policy, claims),
            _text(claims, "iss"),
            _text(claims, "oid", "sub"),
            _text(claims, "azp", "appid"),
        )


def _tokens(settings: Settings) -> "Tokens":
    from shared.web.keys import IssuerKeys  # with them comes a library of cryptography
    from shared.web.tokens import Tokens

    issuers = {issuer: IssuerKeys(issuer) for issuer in words(settings.auth_issuers)}
    return Tokens(issuers, words(settings.auth_audiences), settings.auth_clock_skew_s)


@lru_cache(maxsize=8)
def access_of(settings: Settings) -> Access:
    """Return the access of a process with *settings*: the keys of issuers are remembered in it."""
    return Access(settings)


def require(caller: Caller, action: Action, *, everywhere: bool = False) -> None:
    """Raise `Forbidden` unless the caller may do *action* in some partition, or *everywhere*: in all."""
    is_enough = caller.within(action) is None if everywhere else caller.may_anywhere(action)
    if not is_enough:
        raise Forbidden(f"Your roles do not allow you to {_WORDS[action]}.")


_WORDS: Mapping[Action, str] = {
    Action.READ: "read",
    Action.WRITE: "store or change",
    Action.DELETE: "delete",
    Action.EXPORT: "export",
    Action.MANAGE_QUERY_TAGS: "manage extended query tags",
}


def _text(claims: Mapping[str, Any], *names: str) -> str:
    """Return the first of these claims that is a text."""
    text = next((found for name in names if isinstance(found := claims.get(name), str)), "")
    # JSON may hold halves of characters, which no record takes.
    return text[:_LONGEST_NAME].encode(errors="replace").decode()
