"""Readers of the files that organisations have, and their order of recording."""
