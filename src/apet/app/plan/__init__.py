"""``apet plan``: what a budget saves, from a model's configuration alone."""
