"""`python -m benchmarks.emulation`."""

import sys

from benchmarks.emulation.board import main

sys.exit(main())
