# SPDX-License-Identifier: Apache-2.0
"""Everything of DELF that is not a neural network; imports neither framework."""

__version__ = "0.1.0"
