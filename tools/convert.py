# SPDX-License-Identifier: Apache-2.0
"""The same as ``delf convert``, from a checkout."""

import sys

from delf_common.cli.main import main

sys.exit(main(["convert", *sys.argv[1:]]))
