"""The venue layer: one port, the domain types, the error tree, the guarded transport, one adapter per venue."""
