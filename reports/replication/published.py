"""A published number of a study: read from its table, and written as it was published."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from deepboot.bootstrap.study.schema import Published
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.text import count, setting


def entry_of(raw: Mapping[str, Any]) -> Published:
    """The published number of one table of a study, without the settings of its kind.

    Raises:
        ValueError: a key is missing or has a value that it cannot have.
    """
    try:
        return Published(**{name: value for name, value in raw.items() if name in Published.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"published number {raw.get('text') or raw.get('quantity')!r}: `{key}`: {first['msg']}. "
                         "Mend it in the study.") from error  # fmt: skip


def bounds_of(entry: Published) -> Bounds:
    """Ends of a published number: equal for a value, one infinite for a bound."""
    if entry.value is not None:
        return Bounds(entry.value, entry.value)
    if entry.range is not None:
        return Bounds(*entry.range)
    low, high = entry.at_least, entry.at_most
    return Bounds(-math.inf if low is None else low, math.inf if high is None else high)


def published_text(entry: Published) -> str:
    """A published number as given, with all its digits.

    >>> published_text(Published(quantity="rate", source="A 2020", range=[0.25, 10_000]))
    '0.25 to 10,000'
    """
    low, high = bounds_of(entry)
    if math.isinf(high):
        return f"at least {_number(low)}"
    if math.isinf(low):
        return f"at most {_number(high)}"
    return _number(low) if low == high else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return count(value) if value == round(value) else setting(value).replace("-", "−")
