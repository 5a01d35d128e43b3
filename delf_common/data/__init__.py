# SPDX-License-Identifier: Apache-2.0
"""Data sets: where they are, how they get here, what becomes of them."""
