# SPDX-License-Identifier: Apache-2.0
"""Makes packages look as if they were not installed, in this and in new interpreters.

Python imports a module of this name at its start, so a folder on PYTHONPATH and one
variable carry the block into every process that a test starts.
"""

import os
import sys
from importlib.machinery import PathFinder

VARIABLE = "DELF_TESTS_BLOCK"  # names of packages, separated by commas


class Without:
    """The finder of installed modules, blind to some packages."""

    def __init__(self, names):
        self.names = frozenset(names)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            return None
        return PathFinder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(PathFinder, name)


def block(names):
    """Hide packages from now on."""
    if names:
        place = sys.meta_path.index(PathFinder)
        sys.meta_path[place] = Without(names)


block(list(filter(None, os.environ.get(VARIABLE, "").split(","))))
