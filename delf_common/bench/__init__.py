# SPDX-License-Identifier: Apache-2.0
"""Measurements behind the README's figures."""
