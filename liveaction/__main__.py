"""``python -m liveaction``."""

from liveaction.cli.main import main

main()
