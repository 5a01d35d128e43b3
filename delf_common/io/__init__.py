# SPDX-License-Identifier: Apache-2.0
"""Files: pictures, features, matches, PCA, the older formats."""
