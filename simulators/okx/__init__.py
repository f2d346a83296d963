"""OKX V5 on loopback: spot and linear swaps in contracts."""
