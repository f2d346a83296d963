"""Why the receiver answered as it did, or would not start. The code stands in the answer, the log and the metrics."""

from __future__ import annotations

from brokers.reasons import Reason


class ReceiverReason(Reason):
    """Codes of the receiver, each with its meaning and its remedy."""

    NOT_FOUND = (
        "RECEIVER_NOT_FOUND",
        "There is no such page, or no source has this token (404; both look the same from outside).",
        "Compare the address with the one shown when the token was made; when it is lost, `algotrendy sources add`.",
    )
    ADDRESS_REFUSED = (
        "RECEIVER_ADDRESS_REFUSED",
        "The sender's address is not on the list of allowed addresses (403).",
        "Add the address with --allow, or name the proxy in front with --behind-proxy so that the sender is seen.",
    )
    METHOD_REFUSED = (
        "RECEIVER_METHOD_REFUSED",
        "The page does not take this method (405). Alerts are sent with POST.",
        "Send the alert with POST.",
    )
    SIGNATURE_REFUSED = (
        "RECEIVER_SIGNATURE_REFUSED",
        "The source must sign its alerts, and the signature is missing, wrong, or more than five minutes off (401).",
        "Sign id, timestamp and body with the source's secret (Standard Webhooks), and set the sender's clock.",
    )
    HEAD_TOO_LARGE = (
        "RECEIVER_HEAD_TOO_LARGE",
        "The request has more headers, or longer ones, than the receiver takes (431).",
        "Send fewer headers; the limits are printed when the receiver starts.",
    )
    BODY_TOO_LARGE = (
        "RECEIVER_BODY_TOO_LARGE",
        "The alert is larger than the receiver takes (413); it was not stored.",
        "Shorten the alert's message: TradingView's own limit is far below ours.",
    )
    BODY_ENCODED = (
        "RECEIVER_BODY_ENCODED",
        "The body is compressed or encoded (415); it was not stored.",
        "Send the body as it is, without Content-Encoding.",
    )
    BODY_TOO_SLOW = (
        "RECEIVER_BODY_TOO_SLOW",
        "The body had not arrived in whole before the deadline (503, so that it is sent again).",
        "Look at the network and the proxy between sender and receiver.",
    )
    NOT_COMMITTED_IN_TIME = (
        "RECEIVER_NOT_COMMITTED_IN_TIME",
        "The ledger had not committed the alert before the deadline (503). It may be committed later; sent again, it "
        "is recognised as the same alert.",
        "Find out what holds the ledger up: another writer, the disk, the database server.",
    )
    QUEUE_FULL = (
        "RECEIVER_QUEUE_FULL",
        "More alerts wait in memory for their commit than the receiver holds (503).",
        "Find out what holds the ledger up, or which sender floods; see the receiver's metrics.",
    )
    BACKLOG_FULL = (
        "RECEIVER_BACKLOG_FULL",
        "The ledger's inbox has as many unread alerts as it takes (503).",
        "Start the drain of this pool (the job drain-alerts), and look at why it stood still.",
    )
    DISK_LOW = (
        "RECEIVER_DISK_LOW",
        "The disk of the ledger is nearly full (503).",
        "Free space on the ledger's disk.",
    )
    LEDGER_UNAVAILABLE = (
        "RECEIVER_LEDGER_UNAVAILABLE",
        "The ledger did not store the alert (503).",
        "Read the receiver's log: it names the ledger's own reason.",
    )
    COMMIT_UNKNOWN = (
        "RECEIVER_COMMIT_UNKNOWN",
        "The connection to the database was lost in the commit; the alert may be stored (503). Sent again, it is "
        "recognised as the same alert.",
        "None: it is sent again. If it lasts, look at the database server and the network.",
    )
    STOPPING = (
        "RECEIVER_STOPPING",
        "The receiver is stopping and takes nothing new (503).",
        "None: the alert is sent again after five seconds. Restart the receiver within fifteen.",
    )
    LEDGER_STALE = (
        "RECEIVER_LEDGER_STALE",
        "The receiver is not ready: nothing has been written to the ledger lately.",
        "Find out what holds the ledger up; alerts are answered with 503 meanwhile.",
    )
    TOKENS_STALE = (
        "RECEIVER_TOKENS_STALE",
        "The receiver is not ready: it could not read the sources' tokens lately and goes on with the last it knows.",
        "Find out what holds the ledger up; a token that was retired meanwhile is still taken.",
    )
    NOT_PROTECTED = (
        "RECEIVER_NOT_PROTECTED",
        "The receiver would listen beyond this machine without TLS in front and without a list of senders.",
        "Listen on 127.0.0.1 behind a proxy, or give --behind-proxy ADDRESS or --allow ADDRESS.",
    )
    SETTING_REFUSED = (
        "RECEIVER_SETTING_REFUSED",
        "A setting of the receiver cannot be used.",
        "Correct the setting that the message names.",
    )
    PORT_TAKEN = (
        "RECEIVER_PORT_TAKEN",
        "The receiver cannot listen on its address.",
        "End what listens there, or choose another with --port.",
    )
