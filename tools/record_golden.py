# SPDX-License-Identifier: Apache-2.0
"""Record the golden files of parity_tests/golden, with PyTorch.

Every file is made from seeded weights and from pictures in the public domain that
scikit-image carries, so that it changes only with the arithmetic. A changed file needs
a line in CHANGELOG.md, under Numbers. Example: python tools/record_golden.py
"""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import torch  # noqa: TID251
from safetensors.numpy import save

from delf_common.io.atomic import replacing

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "parity_tests"))
import golden_cases as cases
from small_networks import EVERY
from tolerances import MARGIN, TOLERANCES

MOST_BYTES = 200_000
RANKS = (40, 80)  # where the threshold and the number of keypoints may lie
SHAKES = 10
SEEDS = 100


def main() -> int:
    """Write every golden file."""
    if len(sys.argv) > 1:
        print(__doc__)
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    maps: dict[str, np.ndarray] = {}
    for name in EVERY:
        maps |= cases.maps_of("torch", name)
    write(cases.MAPS, maps, {})
    network = cases.lite0_network("torch")
    attention = cases.attention_of(network)
    threshold, count = widest_gaps(attention)
    features = cases.features_of(network, threshold, count)
    settings = {"threshold": threshold, "count": count}
    write(cases.PHOTOGRAPH, attention | features, settings)
    write(cases.PLACES, {}, search_places())
    steps = {stage: cases.train_steps("torch", stage) for stage in cases.STAGES}
    write(cases.TRAINING, steps, {})
    return 0


def widest_gaps(attention: dict[str, np.ndarray]) -> tuple[float, int]:
    """A threshold and a number of keypoints, each in the widest gap between scores."""
    scores = -np.sort(-np.concatenate([a.ravel() for a in attention.values()]))
    first, last = RANKS
    steps = (scores[first:last] - scores[first + 1 : last + 1]) / scores[0]
    best, second = first + np.argsort(-steps, kind="stable")[:2]
    if min(steps[best - first], steps[second - first]) < MARGIN:
        raise SystemExit("no gap is wide enough: take another SEED in golden_cases.py")
    return float((scores[best] + scores[best + 1]) / 2), int(second) + 1


def search_places() -> dict:
    """Inliers and mAP that noise in the descriptors does not change, and the seed."""
    noise = TOLERANCES["descriptors of a photograph"][0]
    for seed in range(SEEDS):
        features = cases.features_of_views(cases.lite0_network("torch", seed))
        found = cases.search_places(features)
        if cases.is_steady(features, found, noise, SHAKES):
            return {"seed": seed, "found": found}
    raise SystemExit(f"with {SEEDS} seeds the inliers hang on noise: change SHIFTS")


def write(file: str, arrays: dict[str, np.ndarray], more: dict) -> None:
    """Write a file with what it was made from, and by what."""
    provenance = {
        "made_by": "tools/record_golden.py",
        "backend": f"torch {torch.__version__}",
        "numpy": np.__version__,
        "python": platform.python_version(),
        "inputs": cases.inputs_of(file, more.get("seed", cases.SEED)),
        **more,
    }
    stored = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(provenance, sort_keys=True)
    content = save(stored, {"provenance": text})
    if len(content) > MOST_BYTES:
        raise SystemExit(f"{file}: {len(content)} bytes, {MOST_BYTES} are allowed")
    path = cases.FOLDER / f"{file}.safetensors"
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    print(f"{path}: {len(content)} bytes")


if __name__ == "__main__":
    sys.exit(main())
