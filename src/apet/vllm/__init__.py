"""ApET inside vLLM, as a plugin: images and videos enter the engine with fewer tokens.

vLLM finds `apet.vllm.plugin.register` by itself once apet is installed beside it. Everything that knows vLLM
is in this package, and nothing of vLLM is imported before a model is built. `settings` reads what was asked
for, `parts` says how many tokens of each image, tile or frame stay, `processor` shortens the prompt, `model`
shortens the features, `mrope` keeps the kept tokens' positions, and `families` has one small file per family.
"""
