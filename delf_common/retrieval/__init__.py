# SPDX-License-Identifier: Apache-2.0
"""A collection: index, search, ground truth, metrics."""
