"""What the parties agreed, and whether a run may proceed: pure decisions; `chain` alone talks to the outside."""
