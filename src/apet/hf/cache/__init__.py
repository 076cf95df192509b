"""What a KV cache of a shortened prompt remembers, and its masks."""
