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
from functools import cached_property, lru_cache

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
BLOCK_ROWS = 16384


@dataclass(frozen=True)
class SyntheticCollection:
    """Images made in blocks, from the seed and their numbers alone.

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

    @property
    def places(self) -> int:
        """How many places the collection shows."""
        return -(-self.images // IMAGES_OF_A_PLACE)

    def points(self, place: int) -> Vectors:
        """(N, D) normal numbers that make a place; fewer are the first of more."""
        rng = np.random.default_rng([self.seed, 3, place])
        return rng.standard_normal((self.descriptors, self.dimension), np.float32)

    @property
    def block_images(self) -> int:
        """Images that are made together: one alone costs mostly calls."""
        return max(1, BLOCK_ROWS // self.descriptors)

    def block(self, first: int) -> Vectors:
        """(B, N, D) float32 descriptors of the `block_images` images from ``first`` on.

        With P places, images p, p + P, p + 2 P, ... show the place p. An image's rows
        are textures first, then points of its place, then its own, cut at N.
        """
        rng = np.random.default_rng([self.seed, 4, first])
        count, width = self.block_images, self.descriptors
        rows = np.tile(self.mean, (count, width, 1))
        lengths = np.ones((count, width, 1), np.float32)

        textures = self.pick(rng, count)
        textured = textures >= 0
        rows[textured] = self.textures[textures[textured]]
        lengths[textured] = rng.uniform(*TEXTURE_NOISE, (int(textured.sum()), 1))

        position = np.arange(width) - textured.sum(axis=1, keepdims=True)
        shares = rng.uniform(*PLACE_SHARES, (count, 1))
        of_place = (position >= 0) & (position < np.round(shares * width))
        order = rng.random((count, width)).argsort(axis=1)
        image, row = np.nonzero(of_place)
        numbers = np.arange(first, first + count) % self.places
        places = np.stack([self.points(place) for place in numbers])
        points = places[image, order[image, position[image, row]]]
        rows[of_place] = unit(points @ self.basis + self.mean)
        lengths[of_place] = rng.uniform(*VIEW_NOISE, (len(points), 1))

        normal = rng.standard_normal(rows.shape, np.float32)
        return unit(rows + lengths * (normal @ self.basis))

    def image(self, number: int) -> Vectors:
        """(N, D) float32 descriptors of an image; any number has one.

        The numbers from `images` on are in no collection: they are queries.
        """
        block, place = divmod(number, self.block_images)
        rows: Vectors = made_block(self, block)[place]
        return rows

    def features(self, number: int) -> Features:
        """Return an image's descriptors at keypoints that mean nothing."""
        rows = self.image(number)
        ones = np.ones(len(rows), np.float32)
        return Features(self.keypoints, rows, ones, ones, SIZE)

    @cached_property
    def keypoints(self) -> Vectors:
        """(N, 2) x, y in pixels, the same for every image."""
        rng = np.random.default_rng([self.seed, 5])
        return rng.uniform(0, SIZE, (self.descriptors, 2)).astype(np.float32)

    def all_features(self) -> Iterator[tuple[str, Features]]:
        """Name and features of every image, a block of them made at a time."""
        for number in range(self.images):
            yield f"{number:07d}.jpg", self.features(number)

    def pick(self, rng: np.random.Generator, count: int) -> NDArray[np.intp]:
        """Choose textures by Zipf's law, each as often as the image shows it.

        Returns:
            (count, N) number of the texture of each row, -1 behind the last.
        """
        smallest, largest = np.log(TEXTURE_SIZES)
        weights = np.arange(1.0, TEXTURES + 1) ** -POPULARITY
        shape = (count, TEXTURES_OF_AN_IMAGE)
        chosen = rng.choice(TEXTURES, shape, p=weights / weights.sum())
        shares = np.exp(rng.uniform(smallest, largest, shape))
        ends = np.cumsum(np.round(shares * self.descriptors), axis=1)[:, None]
        which = (np.arange(self.descriptors)[None, :, None] >= ends).sum(axis=2)
        padded = np.concatenate([chosen, np.full((count, 1), -1)], axis=1)
        return np.take_along_axis(padded, which, axis=1)


@lru_cache(maxsize=2)
def made_block(collection: SyntheticCollection, number: int) -> Vectors:
    """Make a block once for the images that are asked for one after the other."""
    return collection.block(number * collection.block_images)


def unit(rows: Vectors) -> Vectors:
    """Give every row length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)
