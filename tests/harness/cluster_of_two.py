"""A Ray cluster: a head that computes nothing and a node that lacks a module; another node after a line on standard input.

It is in a process of its own, as a sweep ends all of Ray that its own process has started. Prints the address, and a line when
the node is there; ends with its input.
"""

from __future__ import annotations

import sys

LACKS = "AUXGRAPH_TEST_LACKS"
"""Environment variable of the node on which the trials' module cannot be imported."""

if __name__ == "__main__":
    from ray.cluster_utils import Cluster

    quiet = {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **quiet})
    cluster.add_node(num_cpus=1, env_vars={LACKS: "1"}, **quiet)
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.add_node(num_cpus=1, **quiet)
        print("added", flush=True)
    cluster.shutdown()
