"""Bodies in, typed alerts out: one small module for each way of writing alerts."""

from trading.alerts.dialects.detecting import parse, read
from trading.alerts.dialects.reading import Reading

__all__ = ["Reading", "parse", "read"]
