"""Bybit V5 (unified trading account) on pybit. Facts: Bybit's API documentation, V5, as of 2026-07."""
