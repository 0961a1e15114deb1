"""Small things every other module stands on: errors, files, seeds."""
