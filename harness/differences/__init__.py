"""Difference quotients: which points, which steps, how far off, and many inputs in one call."""
