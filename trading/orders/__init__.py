"""The single send point: an intent puts at most one order on a venue, and none is lost."""
