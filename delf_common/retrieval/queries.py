# SPDX-License-Identifier: Apache-2.0
"""What a retrieval benchmark asks: queries, and the images that answer them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from delf_common.errors import DelfError

Kind = Literal["classic", "revisited", "minibench"]
Region = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels

LISTS: dict[Kind, tuple[str, ...]] = {
    "classic": ("good", "ok", "junk"),
    "revisited": ("easy", "hard", "junk"),
    "minibench": ("positives", "junk"),
}


@dataclass(frozen=True)
class Query:
    """One query with its lists of database images.

    Args:
        name: unique among the queries; rankings are filed under it.
        image: name of the query's picture, as the ground truth writes it (the classic
            and revisited sets leave ".jpg" off).
        region: x1, y1, x2, y2 in pixels of the picture, or None for all of it.
        lists: names of database images by the benchmark's own list names, see `LISTS`.
            Any of them may be empty.
    """

    name: str
    image: str
    region: Region | None
    lists: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class GroundTruth:
    """A benchmark: its queries, and the database they are asked of.

    Args:
        kind: which lists a query has.
        names: of the database images; empty where the files do not say (classic), and
            then the database is whatever was ranked.
        queries: in the benchmark's order.
        source: the file or folder it was read from.

    Raises:
        DelfError: two queries or two database images have one name, a list is missing,
            or a list names an image that is not in the database.
    """

    kind: Kind
    names: tuple[str, ...]
    queries: tuple[Query, ...]
    source: str

    def __post_init__(self) -> None:
        """Refuse what would make figures wrong later."""
        self._refuse_repeated("database image", self.names)
        self._refuse_repeated("query", (query.name for query in self.queries))
        known = set(self.names)
        for query in self.queries:
            for name in LISTS[self.kind]:
                if name not in query.lists:
                    raise DelfError(f"{self.source}: {query.name} has no list {name!r}")
                strange = [x for x in query.lists[name] if known and x not in known]
                if strange:
                    raise DelfError(
                        f"{self.source}: list {name!r} of query {query.name} names "
                        f"{strange[0]!r}, which is not a database image"
                    )
            # VGG's own program has a rule for overlaps in the classic lists (ignored,
            # see evaluation.py), so there they are not for us to refuse.
            if self.kind != "classic":
                self._refuse_overlap(query)

    def _refuse_repeated(self, what: str, names: Iterable[str]) -> None:
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise DelfError(f"{self.source}: {what} {repeated[0]!r} is there twice")

    def _refuse_overlap(self, query: Query) -> None:
        home: dict[str, str] = {}
        for label, names in query.lists.items():
            for name in names:
                if home.setdefault(name, label) != label:
                    raise DelfError(
                        f"{self.source}: query {query.name} has {name!r} in two lists, "
                        f"{home[name]!r} and {label!r}"
                    )
