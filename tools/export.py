# SPDX-License-Identifier: Apache-2.0
"""The same as ``delf export``, from a checkout."""

import sys

from delf_common.cli.main import main

sys.exit(main(["export", *sys.argv[1:]]))
