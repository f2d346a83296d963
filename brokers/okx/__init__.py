"""OKX (API V5) over httpx: spot and linear perpetual swaps. Facts: OKX's API documentation, V5, as of 2026-07."""
