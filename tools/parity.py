# SPDX-License-Identifier: Apache-2.0
"""Run ``delf parity`` from a checkout."""

import sys

from delf_common.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["parity", *sys.argv[1:]]))
