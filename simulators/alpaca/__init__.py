"""A simulated Alpaca: trading API v2, and market data of stocks and crypto, on one port."""
