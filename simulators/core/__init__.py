"""The venue-neutral core: instruments, accounts, prices, matching, settlement, faults, control."""
