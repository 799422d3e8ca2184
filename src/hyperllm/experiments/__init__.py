"""Stages on a workspace: each reads artifacts, writes one, and is skipped when nothing changed."""
