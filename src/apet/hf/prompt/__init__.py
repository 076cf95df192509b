"""Where visual tokens stand in a prompt, and how the prompt is shortened."""
