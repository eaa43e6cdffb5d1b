"""The self-test: every known mistake is planted, and must be caught, located and named; correct code must pass."""

from compare.selftest.run import SelfTest, self_test

__all__ = ["SelfTest", "self_test"]
