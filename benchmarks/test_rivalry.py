"""Can the general model rival its medical partner, on the same samples and under the same budget?

One case per pair, task and regime of the general model: (1) both off the shelf, in-domain; (2) the general one adapted
against the medical one off the shelf, in-domain; (3) both adapted, out of domain.
"""

import pytest

pytestmark = pytest.mark.rivalry


def test_rivalry(general, medical, compare, gate):
    gate.hold(compare(general, medical))
