"""Texts to profiles, profiles to a tag graph and text vectors (paper §4.1)."""
