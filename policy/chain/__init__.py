"""The agreement registry on an EVM chain; the only user of web3.

`model` and `errors` are light. `signing`, `registry` and `deployment` load web3, which takes half a second: import
them only in processes that read or write the chain.
"""

from policy.chain.without_bls import keep_out

keep_out()  # before anything here imports eth_account
