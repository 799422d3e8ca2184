"""What the world looks like: interactions, item texts, splits, tags and text vectors.

Knows NumPy, SciPy, Arrow and Polars only. Does not know torch, language models or metrics.
"""
