"""PineConnector: `LicenseID,command,symbol,key=value,…` as text (docs.pineconnector.com, "Syntax").

`vol_lots` is a number of lots, taken as units of the instrument. What `risk` means is a setting of its expert advisor,
not of the message: the source has to say it (`volume_mode`). The same is true of `sl`, `tp` and `price`, so that
pending orders are refused and stops are brackets without a price. Unknown keys are refused.
"""

from __future__ import annotations

from decimal import Decimal

from brokers.types import OrderSide, PositionSide
from trading.alerts.dialects.bodies import TEXT_MAX
from trading.alerts.dialects.fields import Fields, digest
from trading.alerts.dialects.reading import Reading, unknown_action, unsupported_command, viewed
from trading.alerts.model import Alert, AlertAction, Dialect, QuantityMode, Settled, settled
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
        *("closelongvol", "closeshortvol", "closelongpct", "closeshortpct", "eaoff", "eaon"),
        *("eaonall", "eaoffall"),
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
    if command not in _COMMANDS:
        if command in _UNSUPPORTED:
            raise unsupported_command(f"command {command}", known=", ".join(_COMMANDS))
        shown = command if command.isalpha() else "(not a word)"  # it could be the licence in the wrong place
        raise unknown_action(shown, known=", ".join(_COMMANDS))
    terms = _COMMANDS[command]
    quantity, mode = _volume(fields, volume_mode)
    fields.unsupported("price", "spread", "accfilter", "maxslippage")
    is_exit = terms.action is AlertAction.EXIT
    if is_exit and quantity is not None:
        raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"{command} closes everything: leave out the volume")
    alert = Alert(
        source="",
        dialect=Dialect.PINECONNECTOR,
        **viewed(symbol),
        action=terms.action,
        closes=terms.closes,
        quantity=quantity,
        quantity_mode=mode,
        brackets=fields.asked(*_BRACKETS),
        cancel_first=is_exit,
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
