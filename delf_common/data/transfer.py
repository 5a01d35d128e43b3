# SPDX-License-Identifier: Apache-2.0
"""One request for a file or for the rest of it, and what the answer may be.

Source: RFC 9110, sections 13.1.5 (If-Range), 14 (Range) and 10.2.3 (Retry-After).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests
import urllib3

from delf_common.data.contents import HEAD_BYTES, check_beginning
from delf_common.data.failures import (
    Passing,
    failure,
    no_connection,
    refuse_downgrade,
)
from delf_common.data.partial import PartialFile, Whole
from delf_common.data.sources import Part
from delf_common.errors import DelfError

CHUNK = 256 * 2**10
MOST_SMALL_BYTES = 64 * 2**10  # a published checksum has 50


@contextmanager
def answer(
    session: requests.Session, url: str, timeout: float, headers: dict[str, str]
) -> Iterator[requests.Response]:
    """Send a GET and give the answer, its body still to come.

    Raises:
        Passing: no connection, a stall, a cut, or a status that may pass.
        DelfError: a status or an address that will not.
    """
    try:
        with session.get(
            url, headers=headers, timeout=(timeout, timeout), stream=True
        ) as response:
            refuse_downgrade(url, response.url)
            if response.status_code not in (200, 206, 416):
                raise failure(url, response)
            yield response
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise DelfError(f"{url}: {error}") from None
    except requests.exceptions.TooManyRedirects as error:
        raise DelfError(f"{url}: {error}") from None
    except requests.exceptions.SSLError as error:
        raise DelfError(f"{url}: no trusted connection: {error}") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise no_connection(url, error) from None


def fetch_small(session: requests.Session, url: str, timeout: float) -> bytes:
    """Return a small file's bytes; raises as ``answer`` does."""
    with answer(session, url, timeout, {"Accept-Encoding": "identity"}) as response:
        content: bytes = response.raw.read(MOST_SMALL_BYTES, decode_content=False)
        return content


def fetch_rest(
    session: requests.Session,
    part: Part,
    partial: PartialFile,
    timeout: float,
    on_bytes: Callable[[int], None],
    on_total: Callable[[int], None],
    *,
    verified: bool,
) -> None:
    """Fetch what a partial file lacks, or all of it if the file has changed.

    Args:
        session: connection.
        part: what to fetch.
        partial: what is there; grows.
        timeout: seconds without a byte after which the server counts as stalled.
        on_bytes: called with every gain in bytes; negative when bytes are dropped.
        on_total: called with the length, once it is known; may raise.
        verified: whether a published checksum will tell wrong bytes.

    Raises:
        Passing: try again; the bytes so far are kept.
        DelfError: it is of no use to try again.
    """
    if partial.length and not may_continue(part, partial, verified=verified):
        on_bytes(-partial.length)
        partial.discard()
    if is_complete(partial):
        return
    with answer(session, part.url, timeout, request_headers(partial)) as response:
        prepare(part, partial, response, on_bytes, on_total, verified=verified)
        if not is_complete(partial):
            receive(part, partial, response, on_bytes)


def is_complete(partial: PartialFile) -> bool:
    """Tell whether as many bytes are there as the server announced."""
    return bool(partial.whole) and partial.length == partial.whole.total  # type: ignore[union-attr]


def may_continue(part: Part, partial: PartialFile, *, verified: bool) -> bool:
    """Tell whether the rest can be joined to what is there without a doubt."""
    whole = partial.whole
    if whole is None or whole.url != part.url or whole.total is None:
        return False
    return partial.length <= whole.total and bool(whole.validator or verified)


def request_headers(partial: PartialFile) -> dict[str, str]:
    """Return the headers that ask for the rest, if the file is still the same."""
    headers = {"Accept-Encoding": "identity"}
    if partial.length and partial.whole:
        headers["Range"] = f"bytes={partial.length}-"
        if partial.whole.validator:
            headers["If-Range"] = partial.whole.validator
    return headers


def prepare(
    part: Part,
    partial: PartialFile,
    response: requests.Response,
    on_bytes: Callable[[int], None],
    on_total: Callable[[int], None],
    *,
    verified: bool,
) -> None:
    """Make the partial file ready for the bytes of this answer."""
    start, whole = described(part, response)
    if response.status_code == 200:
        if whole.total is None and not (verified or is_chunked(response)):
            raise DelfError(
                f"{part.url}: the server states no length, so that a cut connection "
                f"looks like the end; no checksum is known either"
            )
        on_bytes(-partial.length)
        partial.start(whole)
    elif not (
        response.status_code == 206
        and start == partial.length
        and partial.whole
        and whole.may_be(partial.whole)
    ):
        on_bytes(-partial.length)
        partial.discard()
        raise Passing(f"{part.url}: the file has changed on the server; from its start")
    if whole.total is not None:
        on_total(whole.total)


def is_chunked(response: requests.Response) -> bool:
    """Tell whether the answer itself marks its end."""
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def described(part: Part, response: requests.Response) -> tuple[int | None, Whole]:
    """Return where the answer's bytes begin, and the file they are of."""
    headers = response.headers
    etag = headers.get("ETag", "")
    etag = "" if etag.startswith("W/") else etag
    modified = headers.get("Last-Modified", "")
    if response.status_code == 200:
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        return 0, Whole(part.url, total, etag, modified)
    found = re.fullmatch(
        r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", "")
    )
    if not found:
        return None, Whole(part.url, None, etag, modified)
    total = None if found[3] == "*" else int(found[3])
    return int(found[1]), Whole(part.url, total, etag, modified)


def receive(
    part: Part,
    partial: PartialFile,
    response: requests.Response,
    on_bytes: Callable[[int], None],
) -> None:
    """Write the body; look at the first bytes before any is written.

    Raises:
        Passing: fewer or more bytes came than were announced.
        DelfError: the beginning is not that of such a file.
    """
    head = b""
    # read1 gives what is there: a stall or a kill loses no byte that has arrived.
    while chunk := response.raw.read1(CHUNK, decode_content=False):
        if not partial.length:
            head += chunk
            if len(head) < HEAD_BYTES:
                continue
            check_beginning(part, head)
            chunk, head = head, b""
        partial.append(chunk)
        on_bytes(len(chunk))
    if head or not partial.length:  # a file shorter than what is looked at
        check_beginning(part, head)
        partial.append(head)
        on_bytes(len(head))
    total = partial.whole.total if partial.whole else None
    if total is not None and partial.length != total:
        raise Passing(
            f"{part.url}: {partial.length} bytes came, {total} were announced"
        )
