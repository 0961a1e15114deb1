"""Studies: a recipe becomes cells, cells become folders, folders become a verdict."""
