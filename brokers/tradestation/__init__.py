"""TradeStation (WebAPI v3) over httpx. Facts: TradeStation's API documentation and OpenAPI description, v3."""
