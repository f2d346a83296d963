"""Odd bodies: recorded answers in which one thing is wrong, empty, absent or unknown, and bodies that are none.

Each card takes the recorded bodies that the venue's row names (`shapes`) and spoils them one way. Nothing may be made
up of what is not there: an unknown word of a closed set, an empty number or half an answer ends in AnswerUnreadable,
and what the venue need not say reads as None.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import Any

import pytest

from brokers.errors import AnswerUnreadable, BrokerError
from tests.conformance.capability import Capability as C
from tests.conformance.card import Proof, Where, card
from tests.conformance.recorded import Recording, agrees, plain, recording, replay
from tests.conformance.scene import Scene
from tests.conformance.venue import Shape

ABSENT = object()
Change = tuple[Shape, str, Any]


def _odd(name: str, given: str, expects: str) -> Callable[[Callable[[Scene], Any]], Callable[[Scene], Any]]:
    return card(
        name,
        C.ODD_BODIES,
        given=f"recorded answers of the venue, {given}",
        does="read them through the adapter, one change at a time",
        expects=expects,
        where=Where.ACCOUNT,
        levers=True,
        proof=Proof.RECORDED,
        row="shapes",
    )


def changed(recorded: Recording, change: Change) -> Any:
    """The recorded body with one field of one row changed."""
    shape, name, text = change
    body = recorded.body
    row = body
    for step in shape.row:
        row = row[step]
    if text is ABSENT:
        row.pop(name, None)
    else:
        row[name] = text
    return body


def played(scene: Scene, changes: Iterable[Change]) -> Iterator[tuple[Change, Callable[[], Any]]]:
    """Each change with the call that reads it; one broker per recording."""
    for name, own in groupby(changes, key=lambda change: change[0].recording):
        with replay(scene.venue, recording(scene.venue.name, name)) as player:
            for change in own:
                yield change, partial(player.value, changed(player.recorded, change))


def unreadable(scene: Scene, changes: Iterable[Change]) -> None:
    """Every change must end in AnswerUnreadable."""
    number, wrong = 0, []
    for (shape, name, text), read in played(scene, changes):
        number += 1
        try:
            found = read()
        except AnswerUnreadable:
            continue
        except BrokerError as error:
            found = error
        said = "absent" if text is ABSENT else repr(text)
        wrong.append(f"{shape.recording} {name} {said}: must be AnswerUnreadable, was {found!r}"[:400])
    assert number and not wrong, "\n".join(wrong) or "the row names nothing to spoil"
    scene.notes["count"] = number


def each(scene: Scene, field: str, *texts: Any) -> Iterator[Change]:
    for shape in scene.venue.shapes:
        for name in getattr(shape, field):
            yield from ((shape, name, text) for text in texts)


@_odd("ODD-ENUM-01", "a word of a closed set that nobody documents", "AnswerUnreadable each time: no word is guessed")
def unknown_words(scene: Scene) -> None:
    unreadable(scene, each(scene, "closed_set", "Frobnicated"))


@_odd("ODD-ENUM-02", "a number where a word of a closed set belongs", "AnswerUnreadable each time")
def numbers_for_words(scene: Scene) -> None:
    unreadable(scene, each(scene, "closed_set", 987_654))


@_odd("ODD-EMPTY-01", 'a required field that is ""', "AnswerUnreadable each time, never zero")
def empty_texts(scene: Scene) -> None:
    unreadable(scene, each(scene, "required", ""))


@_odd("ODD-ABSENT-01", "a required field that is absent", "AnswerUnreadable each time")
def absent_fields(scene: Scene) -> None:
    unreadable(scene, each(scene, "required", ABSENT))


@_odd("ODD-NULL-01", "a required field that is null", "AnswerUnreadable each time")
def null_fields(scene: Scene) -> None:
    unreadable(scene, each(scene, "required", None))


@_odd(
    "ODD-NUMBER-01", "a number that is none: words, NaN, infinity, hexadecimal, a boolean, a list", "AnswerUnreadable"
)
def what_is_no_number(scene: Scene) -> None:
    unreadable(scene, each(scene, "numbers", "twelve", "NaN", "Infinity", "0x10", "1,000", True, ["1"]))


@_odd("ODD-NUMBER-02", "a number beyond every venue's digits", "AnswerUnreadable: nothing is rounded in silence")
def numbers_too_long(scene: Scene) -> None:
    unreadable(scene, each(scene, "numbers", "1e400", "9" * 60))


@_odd("ODD-OPTIONAL-01", 'an optional field that is "" or absent', "None in our value, never zero")
def what_the_venue_does_not_say(scene: Scene) -> None:
    number = 0
    for (shape, name, _), read in played(scene, each(scene, "optional", "", ABSENT)):
        found = read()
        one = found[0] if isinstance(found, tuple) else found
        attribute = shape.optional[name]
        assert getattr(one, attribute) is None, f"{shape.recording} {name}: {attribute} must be None, was {one}"
        number += 1
    assert number, "the row names nothing optional"
    scene.notes["count"] = number


@_odd("ODD-EXTRA-01", "fields that nobody documents beside the known ones", "the same values: they are ignored")
def further_fields(scene: Scene) -> None:
    for shape in scene.venue.shapes:
        with replay(scene.venue, recording(scene.venue.name, shape.recording)) as player:
            usual = player.value()
            more = changed(player.recorded, (shape, "aFieldOfTomorrow", {"deep": [1, None, "x"]}))
            assert agrees(plain(player.value(more)), without_times(plain(usual)))


def without_times(found: Any) -> Any:
    """The value without when it was read: our clock stands at another second."""
    if isinstance(found, list):
        return [without_times(one) for one in found]
    return {name: one for name, one in found.items() if name != "time"} if isinstance(found, dict) else found


def bodies(scene: Scene, *texts: str | bytes) -> None:
    """Every recorded read answers this instead; each must be AnswerUnreadable, never a value and never a refusal."""
    for name in dict.fromkeys(shape.recording for shape in scene.venue.shapes):
        recorded = recording(scene.venue.name, name)
        with replay(scene.venue, recorded) as player:
            for text in texts:
                if text == "[]" and isinstance(recorded.body, list):
                    continue  # the venue's own word for nothing
                try:
                    found = player.value(text)
                except AnswerUnreadable:
                    continue
                except BrokerError as error:
                    found = error
                raise AssertionError(f"{name} with {text[:40]!r} must be AnswerUnreadable, was {found!r}")


@_odd("ODD-HTML-01", "an HTML page with HTTP 200", "AnswerUnreadable each time")
def html_pages(scene: Scene) -> None:
    bodies(scene, "<html><body>Bad gateway</body></html>", "<!DOCTYPE html>")


@_odd(
    "ODD-BODY-01",
    "an empty body, a list where none is usual, a word, a number, null",
    "AnswerUnreadable each time, never an empty list",
)
def bodies_of_another_kind(scene: Scene) -> None:
    bodies(scene, "", "[]", '"ok"', "0", "null", "{}")


@_odd(
    "ODD-BODY-02", "broken JSON: cut, doubled, NaN, a key twice, bytes that are no UTF-8", "AnswerUnreadable each time"
)
def broken_json(scene: Scene) -> None:
    whole = json.dumps(recording(scene.venue.name, scene.venue.shapes[0].recording).body)
    twice = whole[:-1] + "," + whole[1:]
    bodies(scene, whole[: len(whole) // 2], whole + whole, '{"a": NaN}', twice, b'{"a": "\xff\xfe"}')


@_odd("ODD-BODY-03", "without the list that the answer is about", "AnswerUnreadable: no list is no empty list")
def answers_without_their_list(scene: Scene) -> None:
    for shape in scene.venue.shapes:
        at = next((place for place, step in enumerate(shape.row) if isinstance(step, int)), None)
        if at is None or at == 0:
            continue
        recorded = recording(scene.venue.name, shape.recording)
        body = recorded.body
        holder = body
        for step in shape.row[: at - 1]:
            holder = holder[step]
        del holder[shape.row[at - 1]]
        with replay(scene.venue, recorded) as player, pytest.raises(AnswerUnreadable):
            player.value(body)


@_odd("ODD-BODY-04", "JSON that is nested a hundred thousand deep", "AnswerUnreadable, and the process lives on")
def deep_json(scene: Scene) -> None:
    bodies(scene, "[" * 100_000 + "]" * 100_000)
