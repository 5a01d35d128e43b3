# SPDX-License-Identifier: Apache-2.0
"""The file behind one of torchvision's ``weights`` objects."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from urllib.error import URLError
from urllib.parse import urlparse

import torch

from delf_common.errors import DelfError

HASH = re.compile(r"-([0-9a-f]+)\.pth$")  # torchvision's names end in a digest


def weights_file(name: str) -> Path:
    """Find the file in torch's cache, or fetch it there and check its digest.

    Nothing in it is run: it is read like any other ``.pth``.

    Args:
        name: as torchvision calls it, ``ResNet50_Weights.IMAGENET1K_V2``.

    Raises:
        DelfError: torchvision is missing or does not fit torch, has no such weights, or
            the file cannot be fetched or is another than its name says.
    """
    try:
        from torchvision.models import get_weight
    except (ImportError, RuntimeError, OSError) as error:
        raise DelfError(
            f"{name} needs torchvision, which is missing or does not fit this torch "
            f"({error}); give the .pth file itself"
        ) from None
    try:
        url = str(get_weight(name).url)
    except (ValueError, AttributeError, KeyError) as error:
        raise DelfError(f"torchvision has no weights {name}: {error}") from None
    file = PurePosixPath(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = HASH.search(file)
        try:
            torch.hub.download_url_to_file(
                url, str(path), digest and digest[1], progress=sys.stderr.isatty()
            )
        except (URLError, OSError, RuntimeError) as error:
            raise DelfError(f"{url} cannot be fetched: {error}") from None
    return path
