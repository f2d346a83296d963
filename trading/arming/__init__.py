"""Production arming: nothing is sent in production without a record that two people made and that still holds."""

from trading.arming.judging import ArmingGuard, judge
from trading.arming.people import People, arming_key
from trading.arming.reasons import ArmingReason, ArmingRefused
from trading.arming.record import ArmingRecord, Role
from trading.arming.steps import approve_arming, policies_sha256, request_arming

__all__ = [
    "ArmingGuard",
    "ArmingReason",
    "ArmingRecord",
    "ArmingRefused",
    "People",
    "Role",
    "approve_arming",
    "arming_key",
    "judge",
    "policies_sha256",
    "request_arming",
]
