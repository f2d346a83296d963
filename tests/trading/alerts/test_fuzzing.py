"""Bodies that nobody meant: whatever comes, an alert or a refusal comes out, soon, and no secret with it.

`ALGOTRENDY_FUZZ` is how many bodies are made; the figure of a full run is 20,000.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ledger.inbox import Admission
from tests.trading.alerts.building import NOW, make_config, make_route
from tests.trading.alerts.samples import CANARY, SAMPLES
from tests.trading.alerts.test_reading import stored
from trading.alerts import Alert, AlertRefused, Dialect
from trading.alerts.dialects import read
from trading.alerts.reading import reader

BODIES = int(os.environ.get("ALGOTRENDY_FUZZ", "400"))
SECONDS_MAX = 2.0  # of one body, on a machine that is busy with other things
READ = reader(make_config(make_route(symbol="AAPL")), lambda: NOW)
GLUE = st.sampled_from([*'{}[]":,=;|(', "{{ticker}}", "NaN", "\\u0000", "\n", "\ufeff", "1e999", "v=1\n"])


def leaves() -> st.SearchStrategy[Any]:
    numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.decimals(allow_nan=False).map(str)
    words = st.sampled_from(["buy", "sell", "exit", "long", "flat", "AAPL", "ES1!", "limit", "10", "NaN", "{{close}}"])
    return st.none() | st.booleans() | numbers | words | st.text(max_size=40)


NAMES = st.sampled_from(
    sorted(
        {name for sample in SAMPLES if sample.body.lstrip().startswith("{") for name in
         json.loads(sample.body.replace("NaN", "null").replace(",}", "}"))} | {"quantity_mode", "stopLoss", "order"}
    )
) | st.text(max_size=8)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Random bytes; random objects of known fields; samples with pieces cut out, doubled and put in."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.binary(max_size=300))
    if kind == 1:
        values = st.recursive(leaves(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner))
        return json.dumps(draw(st.dictionaries(NAMES, values, max_size=12))).encode("utf-8", "surrogatepass")
    text = draw(st.sampled_from(SAMPLES)).body
    for _ in range(draw(st.integers(1, 4))):
        first, last = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        put = draw(GLUE | st.text(max_size=12) | st.just(text[first:last]) | st.just(""))
        text = text[:first] + put + text[last if draw(st.booleans()) else first :]
    return text[:70_000].encode("utf-8", "surrogatepass")


@settings(max_examples=BODIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=bodies(), dialect=st.sampled_from(Dialect))
def test_only_an_alert_or_a_refusal_comes_out(raw: bytes, dialect: Dialect) -> None:
    begin = time.thread_time()
    for chosen in (dialect, Dialect.AUTO):
        try:
            found = read(raw, dialect=chosen)
        except AlertRefused as error:
            assert error.detail and error.reason.remedy
        else:
            assert isinstance(found, Alert)
            assert Alert.from_json(found.to_json()) == found
    admission = READ(stored(raw))
    assert isinstance(admission, Admission)
    event(admission.reason)
    assert time.thread_time() - begin < SECONDS_MAX


HOSTILE = (
    b"[" * 65_536,
    b"{" * 65_536,
    b'{"a":' * 13_000,
    b'"' * 65_536,
    b'{"a":"' + b"\\" * 65_000 + b'"}',
    b'{"a":' + b"9" * 65_000 + b"}",
    b"{" + b" " * 65_000 + b"}",
    b"{" + b"," * 65_000 + b"}",
    b"v=1\n" + b"a=1\n" * 16_000,
    b"v=1\n" + b"#\n" * 32_000,
    b"#" + b"\n#" * 32_000,
    b"1," * 32_000,
    b"6" * 65_536,
    b"a(b)" * 16_000 + b"{",
    b"a(b) {" * 10_000,
    b"a(b)" + b" " * 65_000 + b"{",
    b"K(X) { " + b"market(side=buy);" * 3_000 + b" }",
    b"sig:" * 16_000,
    b"ENTER-LONG_" + b"_" * 65_000,
    b"key=;" * 13_000,
    b"|" * 65_536,
    b" b=" * 21_000,
    "é".encode() * 32_000,
    b"\xef\xbb\xbf" * 21_000,
)


def test_hostile_bodies_take_no_time() -> None:
    """Each of the largest size, made to be slow: nested, repeated, or nearly a match."""
    for raw in HOSTILE:
        for dialect in (Dialect.AUTO, Dialect.ALGOTRENDY, Dialect.PINECONNECTOR, Dialect.ALERTATRON):
            begin = time.thread_time()
            with suppress(AlertRefused):
                read(raw[:65_536], dialect=dialect)
            taken = time.thread_time() - begin
            assert taken < SECONDS_MAX, (raw[:20], dialect, taken)


def test_no_refusal_and_no_alert_of_a_broken_sample_tells_a_secret() -> None:
    """Cut at every place: what stands where a secret stood must not turn up elsewhere."""
    for sample in SAMPLES:
        for end in range(0, len(sample.body), 3):
            for text in (sample.body[:end], sample.body[end:]):
                if CANARY not in text:
                    continue
                found = READ(stored(text.encode()))
                assert CANARY not in repr((found.reason, found.detail)), (sample.name, end, found.detail)
