# SPDX-License-Identifier: Apache-2.0
"""Renders each photograph of a folder into many views: OUTPUT/CLASS/NNN.jpg.

python tools/render_views.py photos --output views/train --views 24 --seed 0
python tools/render_views.py photos --output views/val --views 4 --seed 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from delf_common.errors import DelfError
from delf_common.training.view_folder import render_folder
from delf_common.training.views import ViewConfig


def main() -> int:
    """Render what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of CLASS.jpg")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--views", type=int, default=24, help="of each photograph")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--long-side", type=int, default=480, help="pixels of a view")
    options = parser.parse_args()
    config = ViewConfig(long_side=options.long_side)
    try:
        written = render_folder(
            options.photos,
            options.output,
            options.views,
            options.seed,
            options.workers,
            config,
        )
    except DelfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{written} views written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
