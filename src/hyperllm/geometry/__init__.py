"""Hyperbolic geometry in torch; knows no users and no items."""
