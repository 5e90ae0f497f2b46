"""Agreements on an EVM chain."""
