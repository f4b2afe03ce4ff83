"""Triton behind the gateway: the gateway decodes and samples, Triton runs clips to logits.

::

    engine.py      the Engine: start, calls, one retry, readiness
      contract.py  what Triton says of a model against what the manifest says
      breaker.py   when not to call at all
      memory.py    clips in shared memory: created, swept, freed
      wire.py      gRPC and HTTP behind one set of calls; the only import of tritonclient
"""
