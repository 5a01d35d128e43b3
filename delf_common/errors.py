# SPDX-License-Identifier: Apache-2.0
"""The errors a user can cause: each names the value, the limit and the way out."""

from __future__ import annotations


class DelfError(Exception):
    """A failed run: bad file, missing backend, wrong weights. Exit code 1."""


class UsageError(DelfError):
    """A wrong call: an option's value, or options that exclude each other. Exit 2."""


class ImageError(DelfError):
    """A picture that cannot be read or is past the limits; batch jobs skip it."""
