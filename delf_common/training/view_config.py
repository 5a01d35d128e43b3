# SPDX-License-Identifier: Apache-2.0
"""How far the views of a photograph may go."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[float, float]


@dataclass(frozen=True)
class ViewConfig:
    """How far views may go. Probabilities are per view, ranges are uniform.

    Attributes:
        long_side: pixels of the longer side of a view.
        aspects: width through height, one is drawn per view.
        tilt: greatest foreshortening; 0.35 moves a corner by up to 35% of a side.
        rotation: degrees either way, nine times in ten.
        rare_rotation: degrees either way for the tenth time.
        zoom: side of the view in the photograph's fitted size; above 1 is nearer.
        shift: greatest displacement of the centre, as a share of the side.
        gamma, contrast, brightness, warmth: ranges of the light's changes.
        shadow, haze, blur, motion, noise, occlusion: probabilities.
        occluders: at most so many patches and polygons, each at most half a side wide.
        quality: range of JPEG qualities.
    """

    long_side: int = 480
    aspects: tuple[float, ...] = (4 / 3, 4 / 3, 3 / 4, 3 / 2, 1.0)
    tilt: float = 0.3
    rotation: float = 20.0
    rare_rotation: float = 60.0
    zoom: Pair = (0.4, 2.5)
    shift: float = 0.25
    gamma: Pair = (0.6, 1.6)
    contrast: Pair = (0.65, 1.35)
    brightness: Pair = (-30.0, 30.0)
    warmth: Pair = (-0.18, 0.18)
    shadow: float = 0.3
    haze: float = 0.15
    blur: float = 0.25
    motion: float = 0.12
    noise: float = 0.4
    occlusion: float = 0.5
    occluders: int = 3
    quality: tuple[int, int] = (30, 95)
