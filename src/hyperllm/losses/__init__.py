"""Losses as functions of points; fused kernels stand beside their plain references."""
