"""Binance on loopback: Spot (/api/v3) and USDⓈ-M Futures (/fapi/v1 to v3) on one port."""
