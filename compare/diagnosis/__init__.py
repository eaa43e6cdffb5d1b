"""Naming what is wrong: the catalogue of known mistakes, their re-enactment, and the self-test of all of it."""
