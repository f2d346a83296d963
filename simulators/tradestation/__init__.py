"""TradeStation WebAPI v3 over the shared core: sign-in, accounts, orders, market data, HTTP streams."""
