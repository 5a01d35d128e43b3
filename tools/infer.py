# SPDX-License-Identifier: Apache-2.0
"""Run ``delf infer`` from a checkout."""

import sys

from delf_common.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["infer", *sys.argv[1:]]))
