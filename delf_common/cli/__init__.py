# SPDX-License-Identifier: Apache-2.0
"""The console command: one module for each subcommand."""
