"""Run beside an unpacked wheel: it is complete and answers by itself. Called by ``make check``."""

from pathlib import Path

import apet
from apet import embedded

if Path.cwd() not in Path(apet.__file__).resolve().parents:
    raise SystemExit(f"imported {apet.__file__} in place of the wheel")
missing = [
    name for name in ("config.json", "model.safetensors", "README.md") if not (embedded.PATH / name).is_file()
]
missing += [
    name
    for name in ("py.typed", "app/lmms/tasks/apet_textvqa.yaml")
    if not (Path(apet.__file__).parent / name).is_file()
]
if missing:
    raise SystemExit(f"the wheel lacks {missing}")
embedded.load()
print(f"wheel: apet {apet.__version__} imports and its embedded model loads")
