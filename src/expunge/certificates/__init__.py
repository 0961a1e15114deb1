"""Certificates: proof, from knowledge that no audit has, that a model still holds what it hides."""
