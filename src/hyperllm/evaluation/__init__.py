"""Measuring a recommender: ranking, metrics, user groups, paired comparison, and the record of test evaluations.

Knows matrices, splits and tables. Does not know any model; torch is never imported here.
"""
