# SPDX-License-Identifier: Apache-2.0
"""Training, as far as it is no neural network: records, crops, batches, schedules."""
