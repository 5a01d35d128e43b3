# SPDX-License-Identifier: Apache-2.0
"""A seeded collection of descriptors that votes as real photographs do.

Three things make the votes of a real collection, and all are here: images of one place
share points, seen a little differently each time; unrelated images share textures
(leaves, windows, water) that some have a handful of and some hundreds, which gives the
votes their long tail; and the rest is the image's own. The spectrum is that of the 112
dimensions of delf-lite0 on the 213 minibench photographs, the mean has the length it
has there, and the axes are turned, as the network's are, away from the spectrum's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from delf_common.features import Features

Vectors = NDArray[np.float32]

MEAN_LENGTH = 0.27  # of the mean of unit descriptors
DECAY = 0.976  # of the variance from one axis to the next
IMAGES_OF_A_PLACE = 10
PLACE_SHARES = (0.1, 0.9)  # of an image's descriptors
TEXTURES = 4000
TEXTURES_OF_AN_IMAGE = 8
TEXTURE_SIZES = (0.002, 0.08)  # share of an image's descriptors, log-uniform
POPULARITY = 0.7  # exponent of Zipf's law
VIEW_NOISE = (0.2, 0.9)  # length added to a unit descriptor from view to view
TEXTURE_NOISE = (0.4, 0.9)
SIZE = (1024, 768)


@dataclass(frozen=True)
class SyntheticCollection:
    """Images of which each is made alone, from the seed and its number.

    Args:
        images: how many.
        descriptors: of each image.
        dimension: D.
        seed: of everything.
    """

    images: int
    descriptors: int = 1000
    dimension: int = 112
    seed: int = 0

    @cached_property
    def basis(self) -> Vectors:
        """(D, D) rows that turn normal numbers into deviations of a unit vector."""
        rng = np.random.default_rng([self.seed, 0])
        turn, _ = np.linalg.qr(rng.normal(size=(self.dimension, self.dimension)))
        shares = DECAY ** np.arange(self.dimension)
        scale = np.sqrt(shares / shares.sum() * (1 - MEAN_LENGTH**2))
        return np.asarray(scale[:, None] * turn, np.float32)

    @cached_property
    def mean(self) -> Vectors:
        """(D,) mean of all descriptors."""
        direction = np.random.default_rng([self.seed, 1]).normal(size=self.dimension)
        return np.asarray(MEAN_LENGTH * direction / np.linalg.norm(direction), "f4")

    @cached_property
    def textures(self) -> Vectors:
        """(TEXTURES, D) unit vectors that unrelated images share."""
        return self.draw(np.random.default_rng([self.seed, 2]), TEXTURES)

    def draw(self, rng: np.random.Generator, count: int) -> Vectors:
        """(count, D) fresh unit descriptors."""
        normal = rng.standard_normal((count, self.dimension), np.float32)
        return unit(normal @ self.basis + self.mean)

    def view(
        self, rng: np.random.Generator, rows: Vectors, noise: tuple[float, float]
    ) -> Vectors:
        """See descriptors again: each with a deviation of a length of its own."""
        lengths = rng.uniform(*noise, (len(rows), 1)).astype(np.float32)
        normal = rng.standard_normal(rows.shape, np.float32)
        return unit(rows + lengths * (normal @ self.basis))

    def image(self, number: int) -> Vectors:
        """(N, D) float32 descriptors of an image; any number has one.

        With P places, images p, p + P, p + 2 P, ... show the place p. The numbers from
        `images` on are in no collection: they are queries.
        """
        place = number % self.places
        points = self.draw(
            np.random.default_rng([self.seed, 3, place]), self.descriptors
        )
        rng = np.random.default_rng([self.seed, 4, number])
        shared = rng.permutation(len(points))
        shared = shared[: round(rng.uniform(*PLACE_SHARES) * self.descriptors)]
        parts = [
            self.view(rng, self.textures[self.pick(rng)], TEXTURE_NOISE),
            self.view(rng, points[shared], VIEW_NOISE),
            self.draw(rng, self.descriptors),
        ]
        return np.concatenate(parts)[: self.descriptors]

    @property
    def places(self) -> int:
        """How many places the collection shows."""
        return -(-self.images // IMAGES_OF_A_PLACE)

    def features(self, number: int) -> Features:
        """Return an image's descriptors at keypoints that mean nothing."""
        rows = self.image(number)
        keypoints = np.random.default_rng([self.seed, 5, number]).uniform(
            0, SIZE, (len(rows), 2)
        )
        ones = np.ones(len(rows), np.float32)
        return Features(keypoints.astype(np.float32), rows, ones, ones, SIZE)

    def all_features(self) -> Iterator[tuple[str, Features]]:
        """Name and features of every image, one made at a time."""
        for number in range(self.images):
            yield f"{number:07d}.jpg", self.features(number)

    def pick(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Choose textures by Zipf's law, each as often as the image shows it."""
        smallest, largest = np.log(TEXTURE_SIZES)
        weights = np.arange(1.0, TEXTURES + 1) ** -POPULARITY
        chosen = rng.choice(TEXTURES, TEXTURES_OF_AN_IMAGE, p=weights / weights.sum())
        sizes = np.exp(rng.uniform(smallest, largest, TEXTURES_OF_AN_IMAGE))
        return np.repeat(chosen, np.round(sizes * self.descriptors).astype(int))


def unit(rows: Vectors) -> Vectors:
    """Give every row length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
