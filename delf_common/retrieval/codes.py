# SPDX-License-Identifier: Apache-2.0
"""The codes of an index: a file beside it that is mapped, not read, for a fast search.

``places.index.pq`` is faiss' own file of an inverted file with product quantisation
(`IndexIVFPQ`, inner product of unit vectors), in which a descriptor bears the number of
its image; then JSON that says how it was made and which index it belongs to, the length
of that JSON (8 bytes, little endian), and the mark of the format (8 bytes).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delf_common.errors import DelfError
from delf_common.retrieval.index import Index

SUFFIX = ".pq"
MARK = b"delf-pq1"
FOOT = len(MARK) + 8
FINGERPRINT_ROWS = 16
REBUILD = "make them again: delf index ... --add --codes pq"
Floats = NDArray[np.float32]


def import_faiss() -> Any:
    """Import faiss, which only codes need.

    Raises:
        DelfError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise DelfError(
            "codes need faiss, which is not installed: pip install faiss-cpu; or "
            "search exactly, which needs nothing more: --voting exact"
        ) from None
    return faiss


def codes_path(index: Path) -> Path:
    """Return where the codes of an index are."""
    return index.with_name(index.name + SUFFIX)


class Codes:
    """Codes opened for searching; the lists stay in the file until they are probed.

    Args:
        index: the collection, opened.

    Raises:
        DelfError: there are none, they are damaged, they belong to another index or to
            an earlier state of it; or faiss is missing.
    """

    def __init__(self, index: Index) -> None:
        self.path = codes_path(index.path)
        self.info = read_foot(self.path)
        check_fit(self.path, self.info, index)
        faiss = import_faiss()
        self.quantizer = read_quantizer(self.path, faiss.IO_FLAG_MMAP)
        self.inverted = faiss.extract_index_ivf(self.quantizer)
        if self.quantizer.ntotal != index.num_features:
            raise DelfError(f"{self.path} is damaged; {REBUILD}")

    def near(
        self, descriptors: Floats, cosine: float, probes: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the coded descriptors that seem near.

        Args:
            descriptors: (N, D) float32, unit length.
            cosine: least inner product with what a code stands for.
            probes: cells looked into for each descriptor, all if there are fewer.

        Returns:
            Two (hits,) arrays: row of ``descriptors``, image; sorted by row.
        """
        self.inverted.nprobe = min(probes, self.inverted.nlist)
        rows = np.ascontiguousarray(descriptors, np.float32)
        limits, _, images = self.quantizer.range_search(rows, cosine)
        counts = np.diff(limits.astype(np.int64))
        return np.repeat(np.arange(len(rows)), counts), images


def count_votes_by_codes(
    codes: Codes, images: int, descriptors: Floats, threshold: float, probes: int
) -> NDArray[np.int64]:
    """Count, for each image, the query descriptors that seem to have a near one in it.

    Args:
        codes: of the index.
        images: in the index.
        descriptors: (N, D) float32 of the query, unit length.
        threshold: Euclidean distance under which two descriptors are near.
        probes: as for `Codes.near`.

    Returns:
        (images,) int64. All 0 for a query without descriptors.
    """
    if not len(descriptors) or not images:
        return np.zeros(images, np.int64)
    rows, hits = codes.near(descriptors, 1 - threshold**2 / 2, probes)
    once = np.unique(rows * images + hits)  # a query descriptor votes once an image
    return np.bincount(once % images, minlength=images)


def fingerprint(index: Index) -> str:
    """Say which index this is: names, counts, settings, some of the descriptors."""
    digest = hashlib.sha256()
    document = {"names": index.names, "info": index.info}
    digest.update(json.dumps(document, sort_keys=True).encode())
    digest.update(index.offsets.astype("<i8").tobytes())
    count = index.num_features
    for row in sorted({i * count // FINGERPRINT_ROWS for i in range(FINGERPRINT_ROWS)}):
        if row < count:
            digest.update(index.descriptors(row, row + 1).tobytes())
    return digest.hexdigest()


def read_foot(path: Path) -> dict[str, Any]:
    """Read what the codes say of themselves.

    Raises:
        DelfError: there is no such file, or it is not one.
    """
    if not path.is_file():
        raise DelfError(f"{path}: the index has no codes; {REBUILD}")
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - FOOT, 0))
        foot = file.read()
        length = int.from_bytes(foot[:8], "little")
        if foot[8:] != MARK or length > size - FOOT:
            raise DelfError(f"{path} is cut short, or no codes of delf; {REBUILD}")
        file.seek(size - FOOT - length)
        try:
            return dict(json.loads(file.read(length)))
        except ValueError:
            raise DelfError(f"{path} is damaged; {REBUILD}") from None


def check_fit(path: Path, info: dict[str, Any], index: Index) -> None:
    """Refuse codes of another index, or of this one before it grew.

    Raises:
        DelfError: says what differs.
    """
    if info.get("index_sha256") != fingerprint(index):
        raise DelfError(
            f"{path} codes {info.get('images')} images and "
            f"{info.get('descriptors')} descriptors of another index, or of this "
            f"one before it was written again; {index.path} has {len(index)} and "
            f"{index.num_features}; {REBUILD}"
        )


def read_quantizer(path: Path, flags: int = 0) -> Any:
    """Read faiss' part of the file; with ``IO_FLAG_MMAP`` its lists are mapped.

    Raises:
        DelfError: it is damaged.
    """
    try:
        return import_faiss().read_index(str(path), flags)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise DelfError(f"{path} is damaged ({reason}); {REBUILD}") from None
