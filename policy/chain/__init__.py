"""The agreement registry on an EVM chain; the only user of Ethereum's libraries.

`model` and `errors` are light. `signing`, `registry` and `deployment` load these libraries, which takes a third of a
second: import them only in processes that read or write the chain. web3 and eth-account, which would take three times
as long, are left to the tests.
"""
