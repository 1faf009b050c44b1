"""`python -m echo_edge`: the command `echo-edge`."""

import sys

from echo_edge.cli import main

if __name__ == "__main__":
    sys.exit(main())
