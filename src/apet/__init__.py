"""ApET: fewer visual tokens for vision-language models."""
