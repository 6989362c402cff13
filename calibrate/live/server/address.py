"""Which servers may be asked: those on this machine, unless the caller says otherwise."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from calibrate.errors import CalibrationError


def server_url(url: str, *, allow_remote: bool = False) -> str:
    """The base URL of a server, without the slash at its end.

    Raises:
        CalibrationError: no HTTP URL, or its host is not this machine (localhost, 127.0.0.0/8, ::1) and
            `allow_remote` is false.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise CalibrationError(f"{url}: no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise CalibrationError(f"{url}: not the URL of a server; it looks like http://127.0.0.1:8000")
    if not (allow_remote or _is_here(host)):
        raise CalibrationError(
            f"{url}: '{host}' is not this machine; calibration loads a server to its limit, so a remote one must be "
            "allowed with --allow-remote"
        )
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
