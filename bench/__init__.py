"""Benchmarks: each figure beside its baseline, run side by side on the same machine in the same minutes."""
