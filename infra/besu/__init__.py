"""A permissioned chain of the parties' own: Hyperledger Besu with QBFT (docs/besu.md)."""
