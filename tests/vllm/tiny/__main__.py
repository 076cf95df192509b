"""Writes one of the tiny models: ``python -m tests.vllm.tiny NAME FOLDER``."""

import sys
from pathlib import Path

from tests.vllm.tiny import save

save(sys.argv[1], Path(sys.argv[2]))
