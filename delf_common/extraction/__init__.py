# SPDX-License-Identifier: Apache-2.0
"""The paper's extraction: pyramid, attention, selection, PCA."""
