"""`python -m ase_schnet` is the same as `ase-schnet`."""

import sys

from ase_schnet.cli import main

sys.exit(main())
