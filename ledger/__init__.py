"""Tables, exact decimals, sessions and migrations: the memory of everything."""
