# SPDX-License-Identifier: BSD-3-Clause
"""The one place where the version stands: pyproject.toml reads it from here without importing the package."""

__version__ = "0.1.0"
