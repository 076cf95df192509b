"""One file per family of models: vLLM's class, with compression mixed in.

A new family touches three places:

1. A file beside this one: processor and model, and how a tile or frame is found in an item (``parts_of``).
2. A row in ``ARCHITECTURES`` of `apet.vllm.plugin`.
3. A tiny model in the tests' table.
"""
