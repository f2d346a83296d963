"""The error tree: certainty is the first split, and an error survives a process boundary."""

from __future__ import annotations

import copy
import pickle

import pytest

from brokers import errors
from brokers.errors import BrokerError, NotSent, OutcomeUnknown, Refused

ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, BrokerError)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("carry", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying(kind: type[BrokerError], carry) -> None:
    error = kind("what happened", code="10006", text="too many", retry_after_s=1.5, details={"a": "b"})
    again = carry(error)
    assert type(again) is kind and str(again) == "what happened"
    assert (again.code, again.text, again.retry_after_s, dict(again.details)) == ("10006", "too many", 1.5, {"a": "b"})
    assert again.reason == kind.reason and again.retryable == kind.retryable


def test_every_error_has_exactly_one_certainty_and_its_own_reason() -> None:
    leaves = [kind for kind in ALL if kind is not BrokerError]
    assert len(leaves) >= 25
    for kind in leaves:
        assert sum(issubclass(kind, certainty) for certainty in (NotSent, Refused, OutcomeUnknown)) == 1
        assert f" {kind.__name__} " in (errors.__doc__ or "").replace("\n", " \n"), (
            f"{kind.__name__} is not in the tree"
        )
    reasons = [kind.reason for kind in ALL]
    assert len(set(reasons)) == len(reasons)
