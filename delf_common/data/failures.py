# SPDX-License-Identifier: Apache-2.0
"""What went wrong with a request: whether it may pass, and what to say."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import requests

from delf_common.errors import DelfError

PASSING_STATUS = {408, 425, 429}  # and all of 500 to 599
PROXY_PASSWORD = 407
HINTS = {
    404: "the file is not there (any more)",
    PROXY_PASSWORD: "the proxy wants http://NAME:PASSWORD@HOST:PORT in HTTPS_PROXY",
}


class Passing(Exception):
    """A failure that may pass: try again later.

    Args:
        message: what happened.
        retry_after: the server's Retry-After, as it is, or "".
    """

    def __init__(self, message: str, retry_after: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after


def no_connection(url: str, error: Exception) -> Exception:
    """Return what to raise for a connection that did not come about, or broke."""
    text = f"{type(error).__name__} {error}"
    if refused := re.search(r"Tunnel connection failed: (\d+)[^'\"]*", text):
        if int(refused[1]) == PROXY_PASSWORD:
            return DelfError(f"{url}: {refused[0]}: {HINTS[PROXY_PASSWORD]}")
        return Passing(f"{url}: the proxy (HTTPS_PROXY) says: {refused[0]}")
    return Passing(f"{url}: {in_short(text)}")


def in_short(text: str) -> str:
    """Say in a few words what happened to a connection."""
    if "timed out" in text or "Timeout" in text:
        return "the server stalled (no byte within --timeout)"
    if "IncompleteRead" in text:
        return "the connection was cut"
    return f"no connection, or lost: {text[:160]}"


def refuse_downgrade(asked: str, answered: str) -> None:
    """Raise DelfError where https was asked and a redirect led away from it."""
    if urlsplit(asked).scheme == "https" != urlsplit(answered).scheme:
        raise DelfError(f"{asked} leads to {answered}, which is not https: refused")


def failure(url: str, response: requests.Response) -> Exception:
    """Return what to raise for an answer without a file."""
    status = response.status_code
    words = f"{url}: {status} {response.reason or ''}".rstrip()
    if status in PASSING_STATUS or status >= 500:
        return Passing(words, response.headers.get("Retry-After", ""))
    return DelfError(f"{words}: {HINTS.get(status, 'the server will not give it')}")
