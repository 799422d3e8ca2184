"""Talking to language models and text encoders. Knows nothing of recommendation."""
