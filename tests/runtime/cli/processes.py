"""The command as a process of its own."""

import sys

COMMAND = [sys.executable, "-m", "echo_edge"]
NO_SPEECH = "(no speech found)\n"
