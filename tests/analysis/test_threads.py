"""The module that worker processes begin with."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "3"
import tradebot.analysis.threads
print(os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"], "numpy" in sys.modules)
"""


def test_it_sets_one_thread_before_numpy_is_loaded_unless_told_otherwise() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "3", "False"]
