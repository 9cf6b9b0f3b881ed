"""URLs that answers name: of studies, series and instances, behind a proxy too (common.md, "Response headers")."""

from dataclasses import dataclass

from starlette.requests import Request

from shared.model import InstanceKey, Scope


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


def service_urls(request: Request, public_url: str, path: str) -> Urls:
    """Return the URLs as the client of *request* can use them.

    The worker sees its own address in the request's URL, so the host comes from *public_url* when a deployment
    sets it, else from the headers that the Functions host forwards, else from `Host`.

    Parameters
    ----------
    path
        Version and partition as in the request: `/v2` or `/v2/partitions/a`.
    """
    headers = request.headers
    root = public_url.rstrip("/")
    if not root:
        scheme = _first(headers.get("x-forwarded-proto", "")) or request.url.scheme
        host = _first(headers.get("x-forwarded-host", "")) or headers.get("host", "")
        root = f"{scheme}://{host}"
    return Urls(root + path)


def _first(values: str) -> str:
    """Return the first of a comma list: each proxy on the way appends its own."""
    return values.split(",", maxsplit=1)[0].strip()
