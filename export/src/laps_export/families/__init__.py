"""What a model can be: one folder a family of networks, and one table that knows them all.

Everything else asks the table (`registry`); nothing outside of a family's folder knows its name, its layers or how
its checkpoints are written.
"""
