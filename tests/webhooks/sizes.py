"""How much is tried: small in the suite, in full with ALGOTRENDY_RECEIVER_FULL=1 on a machine that is quiet.

A busy machine is not a defect: the suite allows answers to be late, the full run does not.
"""

from __future__ import annotations

import os

from webhooks.settings import Limits

FULL = os.environ.get("ALGOTRENDY_RECEIVER_FULL", "") == "1"
LATE_S = 0.1 if FULL else 5.0
GOOD_MS_P99_MAX = 250.0 if FULL else 5_000.0
SLOW_CONNECTIONS = 500 if FULL else 50
SLOW_ENDED_MIN = 2_000 if FULL else 50
FUZZED = 20_000 if FULL else 200
KILLS = int(os.environ.get("ALGOTRENDY_RECEIVER_KILLS", "200" if FULL else "1"))
ACKNOWLEDGED = int(os.environ.get("ALGOTRENDY_RECEIVER_ALERTS", "100000" if FULL else "200"))
HUNG_S = 10.0 if FULL else 0.5
# The same rules with shorter times.
QUICK = Limits(head_s_max=0.5, request_s_max=1.0, commit_s_max=0.95, connection_s_max=1.5, idle_s_max=1.0)


# What is the same on both databases is tried on PostgreSQL in full only, where it starts processes.
DATABASES = ("sqlite", "postgresql") if FULL else ("sqlite",)
