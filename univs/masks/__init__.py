"""Masks as files and numbers: free functions, below the networks."""
