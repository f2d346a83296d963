"""The receiver of alerts: authenticate, store durably, answer. What an alert means is decided later, elsewhere."""
