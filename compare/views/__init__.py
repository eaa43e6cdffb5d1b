"""Showing what happened: on the console."""
