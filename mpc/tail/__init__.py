"""The MPyC tail: the only user of MPyC."""
