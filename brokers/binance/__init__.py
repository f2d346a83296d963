"""Binance: Spot and USDⓈ-M Futures, one account, on python-binance."""
