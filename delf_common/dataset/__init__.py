# SPDX-License-Identifier: Apache-2.0
"""Training sets as shards: planned, written in parallel, resumed, looked at."""
