"""Sources: raw files -> `RawData`; one file a kind of source (table, amazon, published, planted).

Each is imported by its own path, so that reading a CSV loads nothing else.
"""
