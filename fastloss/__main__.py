# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastloss``: the same command as ``fastloss``."""

import sys

from fastloss.cli import main

if __name__ == "__main__":
    sys.exit(main())
