"""Agreements for people: what one says, what two differ in, and what it will let out, before anybody signs."""
