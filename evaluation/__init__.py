"""Composes policy, mpc and streams: processes, run life cycle, results."""
