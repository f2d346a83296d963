"""Prefect tasks: thin, retryable wrappers."""
