"""A node's process as an object, with keys of its own, that was not begun."""

from evaluation.config import NodeSettings
from evaluation.keys import new_secret, private_folder, read_secret, sealing_public, signing_public
from evaluation.node import Node
from infra.local.children import free_port
from mpc.identity import create_identity, load_identity
from policy.chain.model import Deployment
from streams.cluster import EMBEDDED, Broker
from tests.support.runs import Silent
from tests.support.terms import make_terms


def a_node(folder, agreement="a" * 64, **more):
    """Node 0 of an agreement, of whose configuration the caller says more; and the port that the agreement names.

    Keys are drawn at a folder's first call.
    """
    keys, port = folder / "keys", free_port()
    if not keys.exists():
        private_folder(keys)
        for name in ("records", "sealing"):
            new_secret(keys / name)
        create_identity(keys, "node-0")
    terms = make_terms()
    mine = terms.nodes[0].model_copy(update={
        "record_key": signing_public(read_secret(keys / "records")), "endpoint": f"node-0.example.org:{port}",
        "sealing_key": sealing_public(read_secret(keys / "sealing")), "certificate": load_identity(keys, "node-0").fingerprint,
    })
    terms = terms.model_copy(update={"nodes": (mine, *terms.nodes[1:])})
    return Node(NodeSettings(
        number=0, terms=folder / "terms", broker=Broker("127.0.0.1:1", EMBEDDED), keys=keys, store=folder / f"store-{port}",
        state=folder / f"state-{port}", chain={"url": "http://127.0.0.1:1", "agreement_id": agreement, "deployment": Deployment(
            address="0x" + "1" * 40, chain_id=1, code_hash="2" * 64,
        )}, **more,
    ), terms, Silent("test")), port
