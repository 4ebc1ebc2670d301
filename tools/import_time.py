# SPDX-License-Identifier: BSD-3-Clause
"""How long `import fastloss` takes beside `import numpy`, which it contains: `python tools/import_time.py [rounds]`.

Processor time of fresh processes in turns; the best of each, since others only ever add. The goal is at most 1.3 times.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

GOAL = 1.3
PROGRAM = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"


def seconds(module: str, cache: str) -> float:
    """Of one import in a fresh process, away from the checkout; compiled files stand in `cache` after the first."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", PROGRAM.format(module)]
    environment["PYTHONPYCACHEPREFIX"] = cache
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=cache)
    return float(done.stdout)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as cache:
        times = [(seconds("numpy", cache), seconds("fastloss", cache)) for _ in range(rounds + 1)]
    numpy, ours = map(min, zip(*times, strict=True))
    beyond = " (MORE THAN THE GOAL)" if ours > GOAL * numpy else ""
    print(
        f"import fastloss: {1e3 * ours:.0f} ms; numpy alone {1e3 * numpy:.0f} ms: {ours / numpy:.2f} times, "
        f"goal at most {GOAL}{beyond}"
    )


if __name__ == "__main__":
    main()
