"""Bybit V5 (unified trading account) on loopback."""
