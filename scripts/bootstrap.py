"""Build `.venv` from a hash-pinned lock file: `bootstrap.py run` or `bootstrap.py dev`.

Called by the other scripts when the lock file that `.venv` was built from differs from the
one in the checkout. Only the standard library is used. The environment is marked as built by
a copy of its lock file, written last, so an interrupted installation is simply done again;
a lock held by the kernel keeps two first calls (a terminal and cron, say) from meeting.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
HEAVY = (
    "scipy",
    "sklearn",
    "pandas",
    "onnx",
    "onnxmltools",
    "skl2onnx",
    "xgboost",
    "ccxt",
    "mypy",
    "hypothesis",
    "pip",
)


def built_from(kind: str) -> bool:
    """Whether `.venv` was built from the lock file `kind` as it is now."""
    lock, mark = ROOT / "requirements" / f"{kind}.txt", VENV / f"{kind}.txt"
    return (VENV / "bin" / "python").exists() and mark.exists() and mark.read_bytes() == lock.read_bytes()


def install(kind: str) -> None:
    """Install the lock file's packages and put the checkout's own package on the path."""
    python = VENV / "bin" / "python"
    if (VENV / "run.txt").exists() and not built_from("run"):
        shutil.rmtree(VENV)
    if not python.exists() or not any(VENV.glob("*.txt")):
        print("tradebot: first use, installing into .venv (about half a minute)…", file=sys.stderr)
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    lock = ROOT / "requirements" / f"{kind}.txt"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
    # Every package is in the lock, so nothing is left to resolve: --no-deps only saves time.
    subprocess.run([*pip, "--require-hashes", "--no-deps", "--no-compile", "-r", str(lock)], check=True)
    site = next((VENV / "lib").glob("python3*/site-packages"))
    (site / "tradebot.pth").write_text(f"{ROOT / 'src'}\n")
    # What every start imports is compiled now, by all processors; what only training needs, when it is used.
    compiled = [str(python), "-m", "compileall", "-qq", "-j", "0", "-x", rf"/({'|'.join(HEAVY)}|tests)/"]
    subprocess.run([*compiled, str(site), str(ROOT / "src")], check=False)
    for part in ("run", kind):  # the development lock holds every line of the other
        shutil.copyfile(ROOT / "requirements" / f"{part}.txt", VENV / f"{part}.txt")


def main(kind: str) -> int:
    """Install unless another process has done so while this one waited for its turn."""
    try:
        with (ROOT / ".venv.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not (built_from("run") and built_from(kind)):
                install(kind)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"tradebot: the installation failed: {error}; mend its cause and call again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1]))
