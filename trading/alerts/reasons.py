"""Why an alert was not turned into orders: stable codes, each with its meaning and its remedy."""

from __future__ import annotations

from brokers.reasons import Reason


class AlertReason(Reason):
    """Codes are stable: reports, tests and docs/reasons.md name them."""

    # -- reading the body -----------------------------------------------------------------------------------------
    BODY_EMPTY = ("BODY_EMPTY", "The alert has no text.", "Fill in the message field of the alert.")
    BODY_TOO_LARGE = (
        "BODY_TOO_LARGE",
        "The body, or one of its parts, is larger than an alert may be.",
        "Shorten the message: 64 KiB in all, 8 levels, 64 keys, 4 KiB a text.",
    )
    BODY_NOT_TEXT = ("BODY_NOT_TEXT", "The body is not UTF-8 text.", "Send UTF-8 without control characters.")
    BODY_NOT_JSON = (
        "BODY_NOT_JSON",
        "The body should be JSON by its dialect and is not, even after the safe repairs.",
        "Look for a quote or a line break in a placeholder such as the comment; compare it with docs/alerts.md.",
    )
    DIALECT_UNKNOWN = (
        "DIALECT_UNKNOWN",
        "The body is in none of the dialects that are known here.",
        "Use a template of docs/alerts.md, or name the dialect in the source.",
    )
    DIALECT_UNSUPPORTED = (
        "DIALECT_UNSUPPORTED",
        "The dialect is recognised and not supported.",
        "Use a template of docs/alerts.md.",
    )
    FIELD_MISSING = ("FIELD_MISSING", "A field that the dialect needs is missing.", "Add the field to the message.")
    FIELD_INVALID = ("FIELD_INVALID", "A field has a value that it cannot have.", "Correct the field in the message.")
    FIELD_UNKNOWN = (
        "FIELD_UNKNOWN",
        "The body has a field that the dialect does not know: it might change what is meant.",
        "Correct or remove the field.",
    )
    FIELD_UNSUPPORTED = (
        "FIELD_UNSUPPORTED",
        "The body asks for something of its dialect that is not done here.",
        "Remove the field, or have the strategy send its own exit.",
    )
    BRACKETS_NOT_PLACED = (
        "BRACKETS_NOT_PLACED",
        "The alert wants a stop or a target attached to its entry; none is placed here, and without it the entry is "
        "another trade.",
        "Have the strategy send its exits as alerts of their own, or set brackets: ignore for the route.",
    )
    PRICE_RELATIVE = (
        "PRICE_RELATIVE",
        "The price is a distance from the market at whatever time the alert is carried out.",
        "Send the price itself, for instance offset=@{{close}}, or a market order.",
    )
    FIELDS_CONTRADICT = (
        "FIELDS_CONTRADICT",
        "Two fields cannot both be meant.",
        "Correct the message; for strategies use the template of docs/alerts.md.",
    )
    PLACEHOLDER_UNRESOLVED = (
        "PLACEHOLDER_UNRESOLVED",
        "A placeholder of TradingView was not filled in.",
        "Strategy placeholders work in strategy alerts only; use the template for indicators.",
    )
    NUMBER_INVALID = (
        "NUMBER_INVALID",
        "A number is NaN, infinite, too long, or not above zero where it has to be.",
        "Correct what the script prints for the field.",
    )
    ACTION_UNKNOWN = ("ACTION_UNKNOWN", "The action is none that is known.", "Use an action of docs/alerts.md.")
    COMMAND_UNSUPPORTED = (
        "COMMAND_UNSUPPORTED",
        "The command is one of its dialect and is not carried out here.",
        "Use buy, sell, exit, cancel or reverse.",
    )
    SYMBOL_UNKNOWN = (
        "SYMBOL_UNKNOWN",
        "The symbol cannot be read, or nothing says which instrument it is.",
        "Give the route the instrument, or correct the symbol.",
    )
    BODY_SECRET_WRONG = (
        "BODY_SECRET_WRONG",
        "The source asks for a secret in the body, and it was missing or wrong.",
        "Put the secret of the source into the message, or rotate it with the source's settings.",
    )
    KEY_REQUIRED = (
        "KEY_REQUIRED",
        "The source asks for an id in the body and there is none.",
        "Use a template with an id, or set require_explicit_key: false for the source.",
    )
    # -- time -----------------------------------------------------------------------------------------------------
    TIME_REQUIRED = (
        "TIME_REQUIRED",
        "The source asks for the time of the alert in the body and there is none.",
        "Add the time ({{timenow}}), or set require_time: false for the source.",
    )
    ALERT_STALE = (
        "ALERT_STALE",
        "The alert was older than the source allows when it arrived.",
        "None: it is not traded. If it recurs, look at the way to the receiver.",
    )
    ALERT_EXPIRED = (
        "ALERT_EXPIRED",
        "The alert's time to live ended before anything was sent.",
        "None: it is not traded. If it recurs, look at the drain, or raise the route's ttl.",
    )
    ALERT_FROM_FUTURE = (
        "ALERT_FROM_FUTURE",
        "The alert says a time that is more than 5 s ahead of ours.",
        "Repair the clock of this machine or of the sender; the field has to be {{timenow}}.",
    )
    # -- routing --------------------------------------------------------------------------------------------------
    ALERT_CONFIG_REFUSED = (
        "ALERT_CONFIG_REFUSED",
        "The sources and routes cannot be used.",
        "Correct the place that the message names; the former routes stay in force.",
    )
    SOURCE_UNKNOWN = ("SOURCE_UNKNOWN", "The routes name no such source.", "Add the source to the routes.")
    ROUTE_MISSING = (
        "ROUTE_MISSING",
        "No route takes this source, strategy and symbol.",
        "Add a route, or correct strategy and symbol in the message.",
    )
    ROLL_TABLE_OVER = (
        "ROLL_TABLE_OVER",
        "The route's roll table has no contract for this day.",
        "Add the next contract to the route.",
    )
    DATA_DELAYED = (
        "DATA_DELAYED",
        "The alert was computed on delayed data (exchange suffix _DL or _DLY).",
        "Subscribe to real-time data, or set delayed_data: allow for the route.",
    )
    ACTION_NOT_ALLOWED = (
        "ACTION_NOT_ALLOWED",
        "The route does not allow what the alert asks for.",
        "Add it to the route's actions if it is wanted.",
    )
    # -- deciding -------------------------------------------------------------------------------------------------
    READY_TO_TRADE = ("READY_TO_TRADE", "The alert is understood and routed.", "None needed.")
    ORDERS_DECIDED = ("ORDERS_DECIDED", "The alert became orders.", "None needed.")
    CANCELS_DECIDED = ("CANCELS_DECIDED", "Open orders have to be cancelled first.", "None needed.")
    OPENING_LEFT_OUT = (
        "OPENING_LEFT_OUT",
        "The position is closed; the route does not allow to open the other side.",
        "None, or add the opening to the route's actions.",
    )
    NO_POSITION = ("NO_POSITION", "There is no position to close or reduce.", "None needed.")
    NO_OPEN_ORDERS = ("NO_OPEN_ORDERS", "There is no open order to cancel.", "None needed.")
    ALREADY_THERE = ("ALREADY_THERE", "The account already stands where the alert wants it.", "None needed.")
    EXIT_ALREADY_WORKING = (
        "EXIT_ALREADY_WORKING",
        "Orders that are open already close all of the position.",
        "None, or let the alert cancel them first (cancel_first).",
    )
    BELOW_ONE_LOT = ("BELOW_ONE_LOT", "What is to be closed is smaller than one lot.", "None: it is dust.")
    BARE_ACTION_UNDECIDED = (
        "BARE_ACTION_UNDECIDED",
        "The alert says buy or sell without a position, and the route does not say what that means.",
        "Use the template for strategies, or set the route's bare_action.",
    )
    STRATEGY_POSITION_DIFFERS = (
        "STRATEGY_POSITION_DIFFERS",
        "The account's position is not the one that the strategy stood in before this order.",
        "Bring both together by hand, or set when_position_differs: follow for the route.",
    )
    REVERSAL_SIZE_UNKNOWN = (
        "REVERSAL_SIZE_UNKNOWN",
        "The order of a reversal is old and new size together, and the alert does not say the new one.",
        "Send position_size, or say in the route's reversal_quantity what the quantity is.",
    )
    QUANTITY_MISSING = (
        "QUANTITY_MISSING",
        "Neither the alert nor the route says how much. It is never guessed.",
        "Add the quantity to the message or to the route.",
    )
    QUANTITY_MODE_UNFIT = (
        "QUANTITY_MODE_UNFIT",
        "The quantity's mode does not fit the action.",
        "Use percent_of_position for exits and reductions only, and risk with a stop_loss only.",
    )
    QUANTITY_BELOW_LOT = (
        "QUANTITY_BELOW_LOT",
        "The quantity is less than the smallest order of the instrument.",
        "Ask for more.",
    )
    QUANTITY_ABOVE_ROUTE = (
        "QUANTITY_ABOVE_ROUTE",
        "The order would be larger than the route allows. It is not made smaller.",
        "Ask for less, or raise the route's limit on purpose.",
    )
    QUANTITY_ABOVE_VENUE = (
        "QUANTITY_ABOVE_VENUE",
        "The order is larger than the venue's largest.",
        "Ask for less.",
    )
    STOP_ON_WRONG_SIDE = (
        "STOP_ON_WRONG_SIDE",
        "The stop-loss is not on the losing side of the entry.",
        "Correct stop_loss.",
    )
    QUOTE_UNUSABLE = (
        "QUOTE_UNUSABLE",
        "The quantity needs a price and there is no usable quote.",
        "Send the alert again when the market has a bid and an ask.",
    )
    EQUITY_UNKNOWN = (
        "EQUITY_UNKNOWN",
        "The quantity needs the account's equity in the instrument's currency, and it is not known.",
        "Use fixed or cash quantities for this route.",
    )
    NO_SHORT_HERE = ("NO_SHORT_HERE", "The product cannot be sold short.", "Route it to another instrument.")
    HEDGE_MODE_UNSUPPORTED = (
        "HEDGE_MODE_UNSUPPORTED",
        "The account holds long and short side by side, which alerts are not made for.",
        "Set the account to one-way mode.",
    )
    MARKET_CLOSED = (
        "MARKET_CLOSED",
        "The market is closed and the route does not wait.",
        "Send it in trading hours, or set when_closed for the route.",
    )
    WAITING_FOR_OPEN = ("WAITING_FOR_OPEN", "The market is closed; the alert waits for its opening.", "None needed.")
    # -- reviewing ------------------------------------------------------------------------------------------------
    REVIEW_APPROVED = ("REVIEW_APPROVED", "The reviewer approved with enough confidence.", "None needed.")
    REVIEW_REJECTED = ("REVIEW_REJECTED", "The reviewer rejected the alert.", "Read its reasoning beside the alert.")
    REVIEW_UNSURE = (
        "REVIEW_UNSURE",
        "The reviewer approved with less confidence than the route asks for.",
        "Read its reasoning beside the alert, or lower confidence_min.",
    )
    REVIEW_PASSED_UNANSWERED = (
        "REVIEW_PASSED_UNANSWERED",
        "The reviewer gave no usable answer, and the route lets the alert pass then.",
        "Look at the reviewer.",
    )
    REVIEW_UNANSWERED = (
        "REVIEW_UNANSWERED",
        "The reviewer gave no usable answer, and the route blocks the alert then.",
        "Look at the reviewer; replay the alert if it is still wanted.",
    )


class AlertRefused(ValueError):
    """The alert is not traded. The text names field, value and remedy; never a secret of the body."""

    def __init__(self, reason: AlertReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
