"""What is timed: `python -m benchmarks NAME [--json]`."""
