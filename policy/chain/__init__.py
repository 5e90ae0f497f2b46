"""The agreement registry on an EVM chain; the only user of web3.

`model` and `errors` are light. `signing`, `registry` and `deployment` load web3, which takes most of a second: import
them only in processes that read or write the chain.
"""
