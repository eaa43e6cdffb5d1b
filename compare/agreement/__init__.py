"""Judging one step: do the two sides agree as closely as rounding allows?"""
