"""How an intention comes onto the record: stored, judged by risk, and READY with its reservation or DENIED.

Without a companion an intention is stored first and judged in a second transaction, so that it survives a process that
dies between the two. With one (`also`) there is a single transaction: whatever asked for the order moves in the same
commit, or neither does.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from sqlmodel import Session

from brokers.errors import BrokerError
from brokers.ids import InstrumentId, IntentId
from brokers.types import Instrument, OrderRequest, Quote
from ledger.contract_sizes import keep_contract_sizes
from ledger.records import lock_account
from ledger.states import IntentState
from ledger.tables import OrderIntent
from trading.orders import store
from trading.orders.context import AccountReading, DeskContext
from trading.orders.exposure import exposure_for, position_of, reserved_notional
from trading.orders.intents import TermsConflict, WantedOrder, request_of, row_of, terms_sha256
from trading.orders.moves import Who
from trading.orders.reasons import OrderReason
from trading.orders.stops import Stop, set_stop, stop_for
from trading.risk import assess
from trading.risk.conduct import duplicates

S = IntentState
Also = Callable[[Session, OrderIntent], None]


class _LookAgain(Exception):
    """Refused on figures of the account that may be some seconds old: nothing is stored, and they are read anew."""


def receive(ctx: DeskContext, session: Session, wanted: WantedOrder) -> OrderIntent:
    """The intent's row, new or as it is; TermsConflict when its key was used for other terms."""
    row = store.find(session, str(wanted.intent_id))
    if row is None:
        row = row_of(wanted, now=ctx.ledger.now(session), attempts_max=ctx.policy.attempts_max)
        store.receive(session, row, worker=ctx.worker)
    elif row.terms_sha256 != terms_sha256(wanted.request):
        raise TermsConflict(
            f"business key {wanted.business_key!r} was used for other terms (intent {row.intent_id}); "
            "use a new key for a new order"
        )
    return row


def judge(
    ctx: DeskContext, intent_id: IntentId | str, *, wanted: WantedOrder | None = None, also: Also | None = None
) -> None:
    """Let risk decide on a RECEIVED intent; on the newest figures of the account before it is denied for them."""
    request = wanted.request if wanted is not None else _request(ctx, str(intent_id))
    instrument = ctx.instrument(request.instrument_id)
    quote = wanted.reference if wanted is not None else _quote_or_none(ctx, request.instrument_id)
    for is_final in (False, True):
        reading = ctx.account(instrument_id=request.instrument_id, fresh=is_final)
        try:
            with ctx.ledger.write() as session:
                lock_account(session, ctx.account_id)
                both = wanted is not None and also is not None
                row = receive(ctx, session, wanted) if both and wanted else store.load(session, str(intent_id))
                if row.state != S.RECEIVED.value:
                    return
                moved, stop = _decide(ctx, session, row, request, instrument, quote, reading, is_final=is_final)
                if also is not None:
                    also(session, moved)
                ctx.crash("C04")
        except _LookAgain:
            continue
        if stop is not None:
            set_stop(ctx, stop)
        break
    ctx.crash("C05")


def _decide(
    ctx: DeskContext,
    session: Session,
    row: OrderIntent,
    request: OrderRequest,
    instrument: Instrument | None,
    quote: Quote | None,
    reading: AccountReading,
    *,
    is_final: bool,
) -> tuple[OrderIntent, Stop | None]:
    """READY or DENIED; _LookAgain where a fresher reading of the account may lift the refusal."""
    exposure = exposure_for(session, ctx, row, request, instrument, reading)
    refusals = assess(request, instrument, quote, exposure, ctx.policy, ctx.venue_now())
    if refusals and not is_final and all(refusal.reason.is_of_account for refusal in refusals):
        raise _LookAgain
    notes = refusals or tuple(duplicates(request, exposure.conduct, ctx.policy))
    if instrument is not None and instrument.contract_size != 1 and not refusals:
        # The order must be valued, too, when the venue lists its instrument no more.
        keep_contract_sizes(session, ctx.broker.account_id.venue, {request.instrument_id: instrument.contract_size})
    reserve = reserved_notional(request, instrument, quote, position_of(reading, request, instrument))
    moved = store.move(
        session,
        row,
        S.DENIED if refusals else S.READY,
        who=Who.INTAKE,
        worker=ctx.worker,
        reason=refusals[0].reason if refusals else OrderReason.WITHIN_LIMITS,
        detail="; ".join(f"{note.reason}: {note.detail}" for note in notes),
        now=ctx.ledger.now(session),
        reserved_notional=Decimal(0) if refusals else reserve,
    )
    return moved, stop_for(refusals, row)


def _request(ctx: DeskContext, intent_id: str) -> OrderRequest:
    with ctx.ledger.read() as session:
        return request_of(store.load(session, intent_id))


def _quote_or_none(ctx: DeskContext, instrument_id: InstrumentId) -> Quote | None:
    """A fresh reference for an intent whose intake was interrupted; without one it is denied."""
    try:
        return ctx.quote(instrument_id)
    except BrokerError:
        return None
