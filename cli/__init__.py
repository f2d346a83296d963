"""The console script `algotrendy`."""
