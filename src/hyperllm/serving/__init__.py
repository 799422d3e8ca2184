"""Recommending with a trained model: NumPy only.

Knows two matrices and two id lists. Does not know training; torch is never imported by the modules named here.
"""
