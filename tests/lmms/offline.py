"""Commands that reach no network."""

import os
import subprocess


def run(command, folder, code=0):
    """Runs a command in a folder, which also has the caches; gives what it printed."""
    closed = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "home")}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
        cwd=folder,
        env={**os.environ, **closed},
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return done
