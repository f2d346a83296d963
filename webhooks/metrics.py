"""What the receiver counts, for Prometheus. Labels are sources, reasons and states: no secret, nothing that grows."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_ANSWER_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 2.6, 3.0)
_GROUP = (1, 2, 5, 10, 25, 50, 100, 250, 500)


class Metrics:
    """One receiver's figures, in a registry of their own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.answers = Counter(
            "algotrendy_receiver_answers", "Requests by status and reason", ["status", "reason"], registry=registry
        )
        self.stored = Counter(
            "algotrendy_receiver_alerts_stored",
            "Alerts acknowledged as stored, by source and whether the ledger knew them already",
            ["source", "kind"],
            registry=registry,
        )
        self.answer_s = Histogram(
            "algotrendy_receiver_answer_seconds",
            "From the first byte of an alert to its answer",
            buckets=_ANSWER_S,
            registry=registry,
        )
        self.commit_s = Histogram(
            "algotrendy_receiver_commit_seconds", "One group's transaction", buckets=_ANSWER_S, registry=registry
        )
        self.group_count = Histogram(
            "algotrendy_receiver_group_alerts", "Alerts committed together", buckets=_GROUP, registry=registry
        )
        self.committed_late = Counter(
            "algotrendy_receiver_committed_late", "Alerts committed after their 503 had left", registry=registry
        )
        self.queue_count = Gauge("algotrendy_receiver_queue_alerts", "Alerts that wait in memory", registry=registry)
        self.queue_bytes = Gauge("algotrendy_receiver_queue_bytes", "Their bodies' bytes", registry=registry)
        self.connections = Gauge("algotrendy_receiver_connections", "Open connections", registry=registry)
        self.closed = Counter(
            "algotrendy_receiver_connections_closed",
            "Connections closed by us, by why",
            ["reason"],
            registry=registry,
        )
        self.backlog = Gauge("algotrendy_inbox_alerts", "Alerts in the inbox by state", ["state"], registry=registry)
        self.backlog_age_s = Gauge(
            "algotrendy_inbox_oldest_seconds", "Age of the oldest alert that is not worked off", registry=registry
        )
        self.lanes_stopped = Gauge("algotrendy_inbox_lanes_stopped", "Lanes that wait for a person", registry=registry)
        self.tokens = Gauge("algotrendy_receiver_tokens", "Active tokens by source", ["source"], registry=registry)
        self.refreshed_s = Gauge(
            "algotrendy_receiver_refreshed_seconds", "Since tokens and backlog were last read", registry=registry
        )
        self.written_s = Gauge(
            "algotrendy_receiver_written_seconds", "Since the ledger last took a transaction", registry=registry
        )
        self.disk_free_bytes = Gauge(
            "algotrendy_receiver_disk_free_bytes", "Free space of the ledger's disk", registry=registry
        )
        self.log_dropped = Gauge(
            "algotrendy_receiver_log_lines_dropped", "Log lines that found no room", registry=registry
        )

    def text(self) -> bytes:
        return generate_latest(self._registry)
