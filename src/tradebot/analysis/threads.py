"""Imported first, and only, by the server that worker processes are forked from: one thread a worker.

The numeric libraries read these when they are loaded, so they must be set before, and where they
are set here no other process of the program sees them.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")
