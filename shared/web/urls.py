"""URLs that answers name: of studies, series and instances, behind a proxy too (common.md, "Response headers").

What is in a request's header changes URLs in the answer to that request and nothing else: none of them is stored
or signed. Who sends URLs elsewhere takes `PUBLIC_URL`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request

from shared.errors import InvalidRequest
from shared.model import InstanceKey, Scope
from shared.settings import Settings, words

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(
    rf"(?P<name>{_LABEL}(\.{_LABEL}){{0,126}}\.?|\[(?P<address>[0-9A-Fa-f:.]{{2,45}})\])(:(?P<port>[0-9]{{1,5}}))?"
)
_SEGMENT = r"(?!\.{1,2}(/|\Z))[A-Za-z0-9._~$-]{1,128}"
"""A client would take `.` and `..` away, and the segment before (RFC 3986 §5.2.4)."""
_PREFIX = re.compile(rf"/?({_SEGMENT}(/{_SEGMENT}){{0,15}})?/?")
_LAST_PORT = 65535
_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class Urls:
    """URLs below *base*: service root, version and partition, without a slash at the end."""

    base: str

    @property
    def host(self) -> str:
        """Host and port, as a `Warning` header names its agent."""
        return self.base.split("/")[2]

    def study(self, study: str) -> str:
        """Return the URL of a study (PS3.18 Table 10.1-1)."""
        return f"{self.base}/studies/{study}"

    def path(self, scope: Scope) -> str:
        """Return the URL of what *scope* names."""
        named = zip(("studies", "series", "instances"), (scope.study, scope.series, scope.instance), strict=True)
        return self.base + "".join(f"/{kind}/{uid}" for kind, uid in named if uid is not None)

    def instance(self, key: InstanceKey) -> str:
        """Return the URL of an instance."""
        return f"{self.base}/studies/{key.study}/series/{key.series}/instances/{key.instance}"

    def query_tag(self, path: str) -> str:
        """Return the URL of an extended query tag; of those and operations partitions have none."""
        return f"{self.base}/extendedquerytags/{path}"

    def operation(self, name: str) -> str:
        """Return the URL of a long-running operation by its id."""
        return f"{self.base}/operations/{name}"


def service_urls(request: Request, settings: Settings, path: str) -> Urls:
    """Return the URLs as the client of *request* can use them.

    The worker sees its own address in the request's URL, so the host comes from `PUBLIC_URL` when a deployment sets
    it, else from `X-Forwarded-Host`, which the Functions host sends too, else from `Host`. Where proxies are
    configured, only what they send counts, and goes before `PUBLIC_URL`.

    Parameters
    ----------
    path
        Version and partition as in the request: `/v2` or `/v2/partitions/a`; `X-Forwarded-Prefix` takes its place.

    Raises
    ------
    InvalidRequest
        A field that counts is no host, scheme or path.
    """
    networks = _networks(settings.trusted_proxies)
    is_trusted = is_proxy(request, networks)
    given = urlsplit(settings.public_url)
    if given.netloc and not is_trusted:
        return Urls(settings.public_url.rstrip("/") + path)
    hosts, schemes, prefixes = (_values(request, name) for name in ("host", "proto", "prefix"))
    if given.netloc:
        # The Functions host writes Host behind what a proxy sent, so the last one says nothing about the proxy.
        hosts, schemes = [*hosts[:-1], given.netloc], [given.scheme]
    elif networks and not is_trusted:
        hosts, schemes, prefixes = hosts[-1:], schemes[-1:], []
    host, scheme, prefix = (
        next(iter(values), default)
        for values, default in (
            (hosts, request.headers.get("host", "")),
            (schemes, str(request.scope["scheme"])),
            (prefixes, given.path.rstrip("/") + path),
        )
    )
    if not (_is_host(host) and scheme.lower() in _SCHEMES and (_PREFIX.fullmatch(prefix) or not prefixes)):
        raise InvalidRequest("Host, or a field X-Forwarded-Host, -Proto or -Prefix, has no usable value.")
    below, root = prefix.strip("/"), f"{scheme.lower()}://{host}"
    return Urls(f"{root}/{below}" if below else root)


def _is_host(text: str) -> bool:
    """Whether a text is a host's name or address, a port behind it or none (RFC 3986 §3.2.2)."""
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found["port"] or 1) <= _LAST_PORT:
        return False
    return found["address"] is None or _is_address(found["address"])


def _is_address(text: str) -> bool:
    try:
        return ip_address(text).version == 6  # noqa: PLR2004 - in brackets
    except ValueError:
        return False


def client_address(request: Request, trusted_proxies: str = "") -> str:
    """Return the address that the request came from: the last one that the Functions host names.

    Where that is one of our proxies it is the last one that a proxy of ours names and that is none itself: what
    stands before it anybody may have written.
    """
    peer = request.client.host if request.client else ""
    # The platform adds a port.
    sent = [one.rpartition(":")[0] if one.count(":") == 1 else one for one in _values(request, "for") or [peer]]
    networks = _networks(trusted_proxies)
    return next((one for one in reversed(sent) if not _is_within(one, networks)), sent[0])


def is_proxy(request: Request, networks: Networks) -> bool:
    """Whether the request was sent by one of our proxies."""
    return bool(networks) and _is_within(client_address(request), networks)


def _is_within(address: str, networks: Networks) -> bool:
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:
        return False


@lru_cache(maxsize=8)
def _networks(trusted_proxies: str) -> Networks:
    return tuple(ip_network(network) for network in words(trusted_proxies))


def _values(request: Request, name: str) -> list[str]:
    """Return the values of an X-Forwarded field: each proxy on the way appends its own."""
    fields = request.headers.getlist(f"x-forwarded-{name}")
    return [value.strip() for field in fields for value in field.split(",") if value.strip()]
