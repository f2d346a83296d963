"""Decisions: pure planning, reconciliation and risk; and the single send point."""
