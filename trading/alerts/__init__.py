"""Alerts into decisions, pure: raw body in, typed alert, route and plan out."""

from trading.alerts.model import Alert, AlertAction, Dialect, QuantityMode
from trading.alerts.reasons import AlertReason, AlertRefused
from trading.alerts.routing import AlertConfig, Route, RoutesRefused, Source

__all__ = [
    "Alert",
    "AlertAction",
    "AlertConfig",
    "AlertReason",
    "AlertRefused",
    "Dialect",
    "QuantityMode",
    "Route",
    "RoutesRefused",
    "Source",
]
