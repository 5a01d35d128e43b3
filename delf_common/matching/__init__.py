# SPDX-License-Identifier: Apache-2.0
"""Two images: nearest descriptors, geometric verification, drawing."""
