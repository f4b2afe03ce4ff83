"""Triton behind the gateway: the gateway decodes and samples, Triton runs clips to logits.

::

    engine.py      the Engine: start, calls, one retry, readiness
      contract.py  what Triton says of a model against what the manifest says
      breaker.py   when not to call at all
      sharing.py   clips in shared memory: reserved, opened, lent call by call, given back
      wire.py      gRPC and HTTP behind one set of calls; the only import of tritonclient

A segment of shared memory itself is :mod:`laps_server.shared_memory`, which knows nothing of Triton.
"""
