"""`python -m advisor` is `tl-advise`."""

from advisor.cli import main

main()
