"""The matrices that weight-editing attacks work on; methods share them."""

from expunge.models.matrices import as_rows, block_matrices, outputs_first

__all__ = ["as_rows", "block_matrices", "outputs_first"]
