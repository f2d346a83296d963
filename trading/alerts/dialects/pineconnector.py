"""PineConnector: `LicenseID,command,symbol,key=value,…` as text (docs.pineconnector.com, "Syntax").

`vol_lots` is a number of lots, taken as units of the instrument. What `risk` means is a setting of its expert advisor,
not of the message: the source has to say it (`volume_mode`). The same is true of `sl`, `tp` and `price`, so that
pending orders are refused and stops are brackets without a price. Unknown keys are refused.

Of the partial closes, closelongvol and closeshortvol close a volume, and closelongpct and closeshortpct so many percent
of the position: `risk` is the percentage there, whatever it means elsewhere. A number that is left out is a setting of
the expert advisor and refused; so is one below 1, which could be meant as a share.
"""

from __future__ import annotations

from decimal import Decimal

from brokers.types import OrderSide, PositionSide
from trading.alerts.dialects.bodies import TEXT_MAX
from trading.alerts.dialects.fields import Fields, digest
from trading.alerts.dialects.reading import Reading, unknown_action, unsupported_command, viewed
from trading.alerts.model import HUNDRED, Alert, AlertAction, Dialect, QuantityMode, Settled, settled
from trading.alerts.reasons import AlertReason, AlertRefused

_BUY = settled(side=OrderSide.BUY, target=None, previous=None)
_SELL = settled(side=OrderSide.SELL, target=None, previous=None)
_COMMANDS = {
    **dict.fromkeys(("buy", "long", "bull", "bullish"), _BUY),
    **dict.fromkeys(("sell", "short", "bear", "bearish"), _SELL),
    "closelong": Settled(action=AlertAction.EXIT, closes=PositionSide.LONG),
    "closeshort": Settled(action=AlertAction.EXIT, closes=PositionSide.SHORT),
    "closelongshort": Settled(action=AlertAction.EXIT),
}
_PARTIAL = {
    "closelongvol": Settled(action=AlertAction.EXIT, closes=PositionSide.LONG),
    "closeshortvol": Settled(action=AlertAction.EXIT, closes=PositionSide.SHORT),
}
_PERCENT = {
    "closelongpct": Settled(action=AlertAction.EXIT, closes=PositionSide.LONG),
    "closeshortpct": Settled(action=AlertAction.EXIT, closes=PositionSide.SHORT),
}
_KNOWN = {**_COMMANDS, **_PARTIAL, **_PERCENT}
_UNSUPPORTED = frozenset(
    (
        *("buystop", "buylimit", "sellstop", "selllimit", "closeall", "closealleaoff"),
        *("cancellong", "cancelshort", "newsltplong", "newsltpshort", "closelongbuy", "closeshortsell"),
        *(
            "closelongsell",
            "closeshortbuy",
            "closelongopenlong",
            "closelongopenshort",
            "closeshortopenlong",
            "closeshortopenshort",
        ),
        *("eaoff", "eaon", "eaonall", "eaoffall"),
    )
)
_BRACKETS = (
    *("sl", "tp", "sl_pips", "tp_pips", "sl_pct", "tp_pct", "sl_price", "tp_price", "betrigger", "beoffset"),
    *("trailtrig", "traildist", "trailstep", "atrtimeframe", "atrperiod", "atrmultiplier", "atrshift", "atrtrigger"),
)
PARTS_MAX = 40


def read(body: str, *, volume_mode: QuantityMode | None = None) -> Reading:
    """Read a body of one line."""
    licence, command, symbol, fields = _parts(body)
    secrets = {"LicenseID": digest(licence), **fields.secrets("secret")}
    if command not in _KNOWN:
        if command in _UNSUPPORTED:
            raise unsupported_command(f"command {command}", known=", ".join(_KNOWN))
        shown = command if command.isalpha() else "(not a word)"  # it could be the licence in the wrong place
        raise unknown_action(shown, known=", ".join(_KNOWN))
    terms = _KNOWN[command]
    quantity, mode = _percent(fields, command) if command in _PERCENT else _volume(fields, volume_mode)
    fields.unsupported("price", "spread", "accfilter", "maxslippage")
    is_exit = terms.action is AlertAction.EXIT
    is_partial = command in _PARTIAL or command in _PERCENT
    if is_exit and quantity is not None and not is_partial:
        raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"{command} closes everything: leave out the volume")
    if is_partial and quantity is None:
        text = f"{command} must say how much: vol_lots=0.5, or risk where the source has volume_mode"
        raise AlertRefused(AlertReason.FIELD_MISSING, text)
    alert = Alert(
        source="",
        dialect=Dialect.PINECONNECTOR,
        **viewed(symbol),
        action=terms.action,
        closes=terms.closes,
        quantity=quantity,
        quantity_mode=mode,
        brackets=fields.asked(*_BRACKETS),
        cancel_first=is_exit and not is_partial,
        comment=fields.free_text("comment"),
    )
    fields.finish()
    return Reading(alert=alert, secrets=secrets)


def _parts(body: str) -> tuple[str, str, str, Fields]:
    """Licence, command, symbol and the keys. No error quotes the first part, or one that stands in its place."""
    parts = [part.strip() for part in body.split(",")]
    if "\n" in body or len(body) > TEXT_MAX or len(parts) > PARTS_MAX:
        raise AlertRefused(AlertReason.BODY_TOO_LARGE, f"a command is one line of at most {PARTS_MAX} parts")
    if len(parts) < 3:
        raise AlertRefused(AlertReason.FIELD_MISSING, "a command must read LicenseID,command,symbol,key=value")
    found: dict[str, str] = {}
    for place, part in enumerate(parts[3:], start=4):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals:
            raise AlertRefused(AlertReason.FIELD_INVALID, f"part {place} must read key=value")
        if name in found:
            raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"part {place} gives a key for the second time")
        found[name] = value.strip()
    return parts[0], parts[1].lower(), parts[2], Fields(found)


def _percent(fields: Fields, command: str) -> tuple[Decimal, QuantityMode]:
    """How many percent of the position."""
    percent = fields.positive("risk")
    fields.unsupported("vol_lots", "vol_dollar", "vol_pct_bal_lots", "vol_pct_bal_loss", "vol_pct_bal_margin")
    if percent is None:
        raise AlertRefused(AlertReason.FIELD_MISSING, f"{command} must say how many percent: risk=50 closes a half")
    if not 1 <= percent <= HUNDRED:
        text = f"risk of {command} must be from 1 to 100 percent of the position, was {percent}; 50 is a half"
        raise AlertRefused(AlertReason.NUMBER_INVALID, text)
    return percent, QuantityMode.PERCENT_OF_POSITION


def _volume(fields: Fields, volume_mode: QuantityMode | None) -> tuple[Decimal | None, QuantityMode]:
    lots, risk = fields.positive("vol_lots"), fields.positive("risk")
    fields.unsupported("vol_dollar", "vol_pct_bal_lots", "vol_pct_bal_loss", "vol_pct_bal_margin")
    if lots is not None and risk is not None:
        raise AlertRefused(AlertReason.FIELDS_CONTRADICT, "give vol_lots or risk, not both")
    if risk is not None and volume_mode is None:
        text = "what risk means is not in the message: use vol_lots, or set volume_mode for the source"
        raise AlertRefused(AlertReason.FIELD_UNSUPPORTED, text)
    if risk is not None:
        return risk, volume_mode or QuantityMode.FIXED
    return lots, QuantityMode.FIXED
