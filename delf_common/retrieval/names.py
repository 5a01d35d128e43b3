# SPDX-License-Identifier: Apache-2.0
"""One picture, several spellings: as people rank it, and as files list it.

Ground truth writes ``all_souls_000013``, an index of the pictures
``jpg/all_souls_000013.jpg``. A name is tried as it is, then without its folder, then
without its image suffix too; so only what the ground truth leaves off may differ.
"""

from __future__ import annotations

from collections.abc import Container

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")


def find_spelling(name: str, known: Container[str]) -> str | None:
    """Return the spelling of ``name`` that is known, or None."""
    base = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = base.rpartition(".")
    bare = stem if f"{dot}{suffix}".lower() in SUFFIXES else base
    return next((form for form in (name, base, bare) if form in known), None)


class NameTable(dict[str, int]):
    """Numbers for image names; a new spelling is looked up once and remembered.

    Args:
        known: the names of the ground truth, numbered from 0 in their order.
    """

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__((name, i) for i, name in enumerate(known))
        self.known = frozenset(known)
        self.size = len(self.known)

    def __missing__(self, name: str) -> int:
        """Number a new spelling of a known image, or a new image."""
        spelling = find_spelling(name, self.known)
        if spelling is not None:
            number = self[spelling]
        else:
            number = self.size
            self.size += 1
        self[name] = number
        return number
