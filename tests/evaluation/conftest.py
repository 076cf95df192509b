"""The embedded model as a subject, loaded once."""

from __future__ import annotations

import pytest

from apet import embedded
from apet.evaluation import Subject


@pytest.fixture(scope="session")
def subject():
    return Subject("embedded", *embedded.load(), embedded=True)
