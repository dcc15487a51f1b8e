"""Rows become tables. Nothing in here knows about cases or backends."""
