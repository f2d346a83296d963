"""Alpaca: US equities and crypto over its Trading API v2, paper and live."""
