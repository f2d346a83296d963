"""A closed set keeps everything of an enumeration when its class holds the members itself."""

from __future__ import annotations

import pickle
from enum import StrEnum

import pytest

from brokers.closed_sets import plain_members


@plain_members
class Light(StrEnum):
    RED = "red"
    GREEN = "green"

    @property
    def is_go(self) -> bool:
        return self is Light.GREEN


def test_the_class_holds_its_members_itself() -> None:
    assert Light.__dict__["RED"] is Light("red") is Light["RED"] is Light.RED
    assert Light.GREEN.is_go and not Light.RED.is_go


def test_everything_else_is_that_of_an_enumeration() -> None:
    assert list(Light) == ["red", "green"] and set(Light.__members__) == {"RED", "GREEN"}
    assert (Light.RED.name, Light.RED.value, str(Light.RED)) == ("RED", "red", "red")
    assert pickle.loads(pickle.dumps(Light.RED)) is Light.RED
    with pytest.raises(ValueError):
        Light("blue")
    with pytest.raises(AttributeError):
        Light.RED = "green"  # type: ignore[misc,assignment]
