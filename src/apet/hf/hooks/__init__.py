"""Where a model is hooked: its base model, feature methods, text model, decoder layers and ``generate``."""
