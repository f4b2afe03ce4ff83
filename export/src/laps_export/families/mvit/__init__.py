"""MViT, first version: tokens become fewer and wider along the network, and keys and values are pooled."""
