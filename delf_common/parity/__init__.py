# SPDX-License-Identifier: Apache-2.0
"""Whether two backends, given the same weights, see the same in a photograph."""
