"""What the tests of audits share."""

from collections.abc import Iterator

import pytest

from expunge.api import suites
from reference.audit_models import GRID


@pytest.fixture(scope="module")
def small_suite() -> Iterator[None]:
    """A suite for models this small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(suites.SUITES, "quick", GRID)
        yield
