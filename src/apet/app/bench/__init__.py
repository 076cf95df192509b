"""``apet bench``: times on the machine at hand, printed only where the same configuration is right."""
