"""A user's file of a series."""

import pytest

from forecasting.series import read_rows
from forecasting.time_order import Mending


@pytest.fixture
def read(tmp_path):
    """(text of a file, options) -> the rows of its column v."""

    def rows(text, **options):
        path = tmp_path / "mine.csv"
        path.write_text(text, encoding="utf-8")
        return read_rows(path, ["v"], Mending(**options))

    return rows
