"""Keeping what a run yields: the record folder."""
