"""Triton behind the gateway: the gateway decodes and samples, Triton runs clips to logits.

::

    engine.py          the Engine: start, batches, one retry, health checks
      contract.py      whether Triton's model is the one that the manifest describes
      breaker.py       when to send nothing at all
      shared_clips.py  clips in shared memory: reserved, opened, lent batch by batch, given back
      wire.py          gRPC and HTTP behind one protocol; the only import of tritonclient
        tls.py         whose certificates they accept

A block of shared memory itself is :mod:`laps_server.shared_memory`, which knows nothing of Triton.
"""
