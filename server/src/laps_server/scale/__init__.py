"""Past one machine: the same pipeline on Ray, online and offline. The extra `scale` brings what it needs.

Nothing else of the server knows of this package, but the commands that start what is in it, when they are run.
"""
