"""Decoding in processes of its own, which hold nothing but one upload and can do nothing but compute.

::

    gateway ── pool.py ──fork?──► zygote.py      imports the decoder once, forks and reaps
        │                            │ fork
        └──── wire.py, page.py ───► worker.py    confine.py, seccomp.py: then one video at a time

A worker gets the upload as a descriptor and answers with Parts in sealed memory, by descriptor too. What it says is
checked here as what a stranger says.
"""
