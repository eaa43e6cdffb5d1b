"""`python -m compare` is the command `backproof`."""

from compare.cli import main

main()
