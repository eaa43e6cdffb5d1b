"""Explaining a step: one weight, one image, and the chain of factors between them and the cost, with numbers."""
