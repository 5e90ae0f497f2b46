"""Embedded broker and chain, and child processes that never outlive us."""
