# SPDX-License-Identifier: Apache-2.0
"""Run ``delf match`` from a checkout."""

import sys

from delf_common.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["match", *sys.argv[1:]]))
