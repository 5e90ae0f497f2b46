"""Arithmetic on shares: ring engine, linkage, statistics, tail, transport."""
