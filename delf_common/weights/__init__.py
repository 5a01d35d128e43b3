# SPDX-License-Identifier: Apache-2.0
"""Names, files and conversion of the networks' parameters; no framework needed."""
