# SPDX-License-Identifier: Apache-2.0
"""Whether what a server sends can be what was asked for.

A server in trouble, a login page or a hotel's network answers 200 with a web page. The
first bytes tell.
"""

from __future__ import annotations

from pathlib import Path

from delf_common.data.sources import Part
from delf_common.errors import DelfError

HEAD_BYTES = 512  # a tar's first header, the longest that is looked at
TAR_MAGIC = slice(257, 262)
BEGINNINGS = {
    "tgz": b"\x1f\x8b",
    "zip": b"PK",
    "h5": b"\x89HDF\r\n\x1a\n",
    "mat": b"MATLAB ",
}


def check_beginning(part: Part, head: bytes) -> None:
    """Raise DelfError unless a file that begins so can be this part.

    Args:
        part: what was asked for.
        head: the file's first 512 bytes, or all of a shorter file.
    """
    if part.kind == "tar":
        fits = head[TAR_MAGIC] == b"ustar" or head == bytes(HEAD_BYTES)
    elif part.kind == "csv":
        first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")[0].strip()
        fits = first == part.header.encode()
    elif part.kind == "pickle":
        fits = head[:1] in (b"\x80", b"(", b"}") and b"<html" not in head.lower()
    else:
        fits = head.startswith(BEGINNINGS[part.kind])
    if fits:
        return
    page = head.lstrip()[:1] == b"<"
    what = "a web page" if page else f"something that begins with {head[:24]!r}"
    raise DelfError(
        f"{part.url} answered with {what} where a {part.kind} file is due: look at the "
        f"address in a browser, and at the proxy (HTTPS_PROXY)"
    )


def describe_content(part: Part, path: Path) -> str:
    """Check a complete file as far as it can be; say in words what it holds.

    A revisited ground truth is read, by the reader that runs nothing in the pickle.

    Raises:
        DelfError: the content is wrong.
    """
    if part.kind != "pickle":
        return ""
    from delf_common.retrieval.safe_pickle import load_plain

    content = load_plain(path)
    if not isinstance(content, dict) or not {"imlist", "qimlist", "gnd"} <= set(
        content
    ):
        raise DelfError(f"{path} holds no imlist, qimlist and gnd: not a ground truth")
    return f"{len(content['qimlist'])} queries, {len(content['imlist'])} images"
