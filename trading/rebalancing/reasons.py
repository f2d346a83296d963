"""Why a line was not traded as wished, or not traded at all: stable codes with meaning and remedy."""

from __future__ import annotations

from enum import StrEnum

from brokers.reasons import Reason


class AccountReason(Reason):
    """Why an account of a subscription was not planned; the errors of the venue layer may stand in their place."""

    ACCOUNT_NOT_OPENED = (
        "ACCOUNT_NOT_OPENED",
        "The account of a subscription could not be opened.",
        "Read the detail: its block, its key or its venue is not as it must be.",
    )
    ACCOUNT_TOO_SMALL = (
        "ACCOUNT_TOO_SMALL",
        "The lines that the account shall hold are more than a hundred times its own equity.",
        "Move money to the account, or give its lines to another one.",
    )
    ACCOUNT_WITHOUT_EQUITY = (
        "ACCOUNT_WITHOUT_EQUITY",
        "The account has no equity in its quote currency.",
        "Deposit, set its quote_currency in the subscription, or take it out.",
    )
    JOINT_EQUITY_UNKNOWN = (
        "JOINT_EQUITY_UNKNOWN",
        "Another account of the subscription could not be read, so the joint equity is not known.",
        "Wait for that account, or take it out of the subscription.",
    )
    NOTHING_ALLOCATED = (
        "NOTHING_ALLOCATED",
        "No line of the portfolio has its place in this account, and it holds none of them.",
        "None needed, or take the account out of the subscription.",
    )


class LineReason(StrEnum):
    """Stable reason codes of plan lines and legs; `meaning` and `remedy` are what the operator reads."""

    ABOVE_QUANTITY_MAX = "ABOVE_QUANTITY_MAX"
    BELOW_LOT = "BELOW_LOT"
    BELOW_MINIMUM_TRADE = "BELOW_MINIMUM_TRADE"
    BELOW_NOTIONAL_MIN = "BELOW_NOTIONAL_MIN"
    BELOW_QUANTITY_MIN = "BELOW_QUANTITY_MIN"
    COOLDOWN = "COOLDOWN"
    COST_ABOVE_MAX = "COST_ABOVE_MAX"
    GROSS_LIMIT_REACHED = "GROSS_LIMIT_REACHED"
    HELD_BY_OPEN_ORDERS = "HELD_BY_OPEN_ORDERS"
    INSTRUMENT_NOT_TRADING = "INSTRUMENT_NOT_TRADING"
    INSTRUMENT_UNKNOWN = "INSTRUMENT_UNKNOWN"
    MONEY_SHORT = "MONEY_SHORT"
    NO_SHORT_IN_PRODUCT = "NO_SHORT_IN_PRODUCT"
    NOT_DUE = "NOT_DUE"
    OPEN_ORDER_AT_VENUE = "OPEN_ORDER_AT_VENUE"
    PRICE_MOVED = "PRICE_MOVED"
    QUOTE_CURRENCY_DIFFERS = "QUOTE_CURRENCY_DIFFERS"
    QUOTE_MISSING = "QUOTE_MISSING"
    QUOTE_STALE = "QUOTE_STALE"
    REDUCTION_INCOMPLETE = "REDUCTION_INCOMPLETE"
    ROUNDS_USED_UP = "ROUNDS_USED_UP"
    SCALED_TO_GROSS = "SCALED_TO_GROSS"
    SCALED_TO_MONEY = "SCALED_TO_MONEY"
    SESSION_CLOSED = "SESSION_CLOSED"
    SLIPPAGE_ABOVE_MAX = "SLIPPAGE_ABOVE_MAX"
    STOPPED_BY_REFUSAL = "STOPPED_BY_REFUSAL"
    UNMANAGED_LEFT = "UNMANAGED_LEFT"
    WITHIN_BAND = "WITHIN_BAND"

    @property
    def meaning(self) -> str:
        return _TEXTS[self][0]

    @property
    def remedy(self) -> str:
        return _TEXTS[self][1]


_TEXTS: dict[LineReason, tuple[str, str]] = {
    LineReason.ABOVE_QUANTITY_MAX: (
        "The change needs more orders of the venue's largest size than one plan may have.",
        "Run the portfolio again for the rest, or lower the weight.",
    ),
    LineReason.BELOW_LOT: ("The change is smaller than one lot.", "None needed: it is reported as dust."),
    LineReason.BELOW_MINIMUM_TRADE: (
        "The change is worth less than the portfolio's minimum_trade_notional.",
        "None needed, or lower minimum_trade_notional.",
    ),
    LineReason.BELOW_NOTIONAL_MIN: (
        "The change is worth less than the venue's smallest order.",
        "None needed: it waits until the difference is larger. It is never done as a sale and a repurchase.",
    ),
    LineReason.BELOW_QUANTITY_MIN: (
        "The change is a smaller quantity than the venue's smallest order.",
        "None needed: it waits until the difference is larger.",
    ),
    LineReason.COOLDOWN: (
        "The portfolio was rebalanced less than cooldown_s ago.",
        "None needed: it is traded again when the cooldown is over.",
    ),
    LineReason.COST_ABOVE_MAX: (
        "The whole plan would cost more than cost_max of the equity, so nothing of it is traded.",
        "Widen the bands, raise minimum_trade_notional, or raise cost_max.",
    ),
    LineReason.GROSS_LIMIT_REACHED: (
        "The account's gross weight leaves no room for this increase.",
        "Move money to the account, or raise its gross_max in the subscription.",
    ),
    LineReason.HELD_BY_OPEN_ORDERS: (
        "Part of the holding is held, by open orders or for a fee that is posted later, so less can be sold.",
        "Cancel the open orders, where there are any, and run again; a fee is posted the next day.",
    ),
    LineReason.INSTRUMENT_NOT_TRADING: (
        "The venue lists the instrument but does not trade it now.",
        "Wait for the venue, or take the line out of the portfolio.",
    ),
    LineReason.INSTRUMENT_UNKNOWN: ("The venue does not list the instrument.", "Correct or remove the line."),
    LineReason.SESSION_CLOSED: (
        "The market of the portfolio's calendar is not in its regular session.",
        "Schedule the run well inside the session, or take calendar.sessions away.",
    ),
    LineReason.MONEY_SHORT: (
        "After the cash buffer and costs there is no money left for this increase.",
        "Deposit, lower the weights or the buffer, or raise the leverage of linear lines.",
    ),
    LineReason.NO_SHORT_IN_PRODUCT: (
        "The target is negative and the product cannot be sold short.",
        "Use a linear line for a short target.",
    ),
    LineReason.NOT_DUE: (
        "The portfolio was rebalanced in this period already (calendar.every).",
        "None needed: it is traded again in the next period.",
    ),
    LineReason.OPEN_ORDER_AT_VENUE: (
        "An open order in the instrument may change the position while the plan runs.",
        "Cancel or wait for the order, then run again.",
    ),
    LineReason.PRICE_MOVED: (
        "The price moved further from the plan's price than price_move_max before the leg was sent.",
        "Run the portfolio again: a new plan takes the new price.",
    ),
    LineReason.QUOTE_CURRENCY_DIFFERS: (
        "The instrument is not priced and settled in the portfolio's quote currency.",
        "Choose an instrument of the same currency, or a portfolio of its own.",
    ),
    LineReason.QUOTE_MISSING: ("The venue gave no usable quote.", "Run again when the market has a bid and an ask."),
    LineReason.QUOTE_STALE: (
        "The venue's quote is older than quote_age_s_max.",
        "Run again when the market moves, or raise quote_age_s_max.",
    ),
    LineReason.REDUCTION_INCOMPLETE: (
        "The reduction that had to come first was not filled in full, so the increase was not sent.",
        "Run the portfolio again.",
    ),
    LineReason.ROUNDS_USED_UP: (
        "The venue filled only part of the leg in every allowed round.",
        "Run the portfolio again, or raise collar or rounds_max.",
    ),
    LineReason.SCALED_TO_GROSS: (
        "The increase was made smaller so that the account's gross weight stays within its limit.",
        "As for GROSS_LIMIT_REACHED.",
    ),
    LineReason.SCALED_TO_MONEY: (
        "The increase was made smaller so that the cash buffer and the costs stay covered.",
        "As for MONEY_SHORT.",
    ),
    LineReason.SLIPPAGE_ABOVE_MAX: (
        "The quote's half spread is wider than slippage_max.",
        "Run again when the spread is narrower, or raise slippage_max.",
    ),
    LineReason.STOPPED_BY_REFUSAL: (
        "Another leg of the run was refused, and the subscription says on_refusal: stop.",
        "See to the refused leg, then run again; or set on_refusal: continue.",
    ),
    LineReason.UNMANAGED_LEFT: (
        "The account holds something that is not in the portfolio; the policy is to leave it.",
        "Add it to the portfolio, or set unmanaged: close.",
    ),
    LineReason.WITHIN_BAND: ("The line is inside its drift band.", "None needed."),
}
