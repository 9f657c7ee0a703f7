"""Which buckets a request draws from, on one page: tenant, key or user, address and class of endpoint.

All of a tenant's keys share one hash tag, `{tenant}`, so that they are one script's in a cluster too.
"""

import ipaddress
import math
import re

from django.conf import settings
from django.http import HttpRequest

from apps.gateway import limits
from apps.gateway.credentials import client_ip
from apps.gateway.problems import API_PREFIXES
from apps.gateway.rate_limit import Bucket
from apps.tenants.contracts import Principal, PrincipalKind

# Endpoints that cost much more than others may take this share of what the plan lets a tenant call.
COSTLY: tuple[tuple[str, re.Pattern[str], float], ...] = (
    ("upload", re.compile(r"POST /api/v1/documents(/[^/]+/reindex)?/?"), 0.25),
    ("import", re.compile(r"POST /api/v1/[a-z-]+/import/?"), 0.1),
    ("export", re.compile(r"GET /api/v1/([a-z-]+/export|reports|analytics/[a-z-]+)/?"), 0.25),
)
LOGIN_PREFIX = "/api/v1/auth/"
PAGE_LOGINS = ("/accounts/", "/admin/login/")
PAGES = ("/app/", "/accounts/", "/admin/", "/widget")
IPV6_SITE_BITS = 64  # what one customer of a provider is given at least


def buckets_of(request: HttpRequest) -> list[Bucket]:
    """Return the buckets of a request; every key names its tenant, or the stranger's address."""
    if not request.path.startswith(API_PREFIXES):
        return _page_buckets(request)
    principal = request.principal  # type: ignore[attr-defined]
    if principal is None:
        return _stranger_buckets(request)
    return [*_caller_buckets(principal, _address(request)), *_endpoint_buckets(request, principal)]


def group_address(address: str) -> str:
    """Return what stands for a client: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_SITE_BITS), strict=False).network_address)


def _caller_buckets(principal: Principal, address: str) -> list[Bucket]:
    tag, per_minute = f"rate:{{{principal.tenant.id}}}", limits.requests_per_minute(principal.tenant)
    buckets = [_steady(tag, per_minute, "tenant")]
    if own := principal.rate_limits.get("requests_per_minute"):
        buckets.append(_steady(f"{tag}:key:{principal.id}", int(own), "key"))
    if principal.kind is PrincipalKind.USER and settings.USER_PER_MINUTE:
        buckets.append(_steady(f"{tag}:user:{principal.id}", settings.USER_PER_MINUTE, "user"))
    if settings.ADDRESS_PER_MINUTE:
        buckets.append(_steady(f"{tag}:ip:{address}", settings.ADDRESS_PER_MINUTE, "address"))
    return buckets


def _endpoint_buckets(request: HttpRequest, principal: Principal) -> list[Bucket]:
    name = f"{request.method} {request.path}"
    for kind, pattern, share in COSTLY:
        if pattern.fullmatch(name):
            per_minute = math.ceil(limits.requests_per_minute(principal.tenant) * share)
            return [_steady(f"rate:{{{principal.tenant.id}}}:endpoint:{kind}", per_minute, "endpoint")]
    return []


def _stranger_buckets(request: HttpRequest) -> list[Bucket]:
    tag = f"rate:{{ip:{_address(request)}}}"
    if request.path.startswith(LOGIN_PREFIX):
        return [_steady(f"{tag}:login", settings.LOGINS_PER_MINUTE, "address")]
    return [_steady(f"{tag}:open", settings.ANONYMOUS_PER_MINUTE, "address")]


def _page_buckets(request: HttpRequest) -> list[Bucket]:
    if not request.path.startswith(PAGES) and not hasattr(request, "company"):
        return []
    tag = f"rate:{{ip:{_address(request)}}}"
    buckets = [_steady(f"{tag}:pages", settings.PAGES_PER_MINUTE, "address")]
    if request.method == "POST" and request.path.startswith(PAGE_LOGINS):
        buckets.append(_steady(f"{tag}:login", settings.LOGINS_PER_MINUTE, "address"))
    return buckets


def _address(request: HttpRequest) -> str:
    return group_address(client_ip(request, settings.TRUSTED_PROXY_COUNT))


def _steady(key: str, per_minute: int, scope: str) -> Bucket:
    return Bucket(key, per_minute, per_minute, scope)
