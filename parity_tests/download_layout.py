# SPDX-License-Identifier: Apache-2.0
"""Archives as the real servers have them, small."""

import io
import tarfile

GOOGLE = "/s3.amazonaws.com/google-landmark"


def jpeg_name(number):
    """Return a GLDv2 path: three folders from the id's first three digits."""
    name = f"{number * 0x1111111111111:016x}"
    return f"{name[0]}/{name[1]}/{name[2]}/{name}.jpg"


def tar_of(files, mode="w"):
    """Return the bytes of a tar with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def tgz_of(files):
    """Return the bytes of a tar.gz with these files."""
    return tar_of(files, "w:gz")
