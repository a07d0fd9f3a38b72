"""``python -m liveaction``."""

from liveaction.cli import main

main()
