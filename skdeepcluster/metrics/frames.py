"""Where results are data frames."""

from __future__ import annotations

from typing import Any


def pandas_for(function: str) -> Any:
    """Return pandas; without it, say how `function` gets it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{function} gives a pandas.DataFrame: pip install 'skdeepcluster[table]'"
        ) from error
    return pandas
