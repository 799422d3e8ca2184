"""Tables of events that do not fit in memory: the same filters and splits, a block of rows at a time.

Knows files, numbers on disk and how much memory there is. Does not know models.
"""
