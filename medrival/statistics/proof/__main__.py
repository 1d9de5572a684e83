"""`python -m medrival.statistics.proof`."""

import sys

from medrival.statistics.proof.simulation import main

sys.exit(main())
