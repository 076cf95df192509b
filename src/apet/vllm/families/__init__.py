"""One file per family of models: vLLM's class, with compression mixed in.

A new family touches three places:

1. A file beside this one: the model's class, and how a tile or frame is found in an item (``parts_of``) where
   that is not a run of placeholders.
2. Its rows in `apet.vllm.registry`.
3. A tiny model in the tests' tables.
"""
