"""What the parties agreed, and whether a run may proceed: pure decisions; `chain` is the only user of web3."""
