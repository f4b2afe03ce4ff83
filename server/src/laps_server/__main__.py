"""``python -m laps_server`` is ``laps-server``."""

from laps_server.cli import main

if __name__ == "__main__":
    main()
