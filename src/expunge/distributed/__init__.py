"""One model on several processes: PyTorch's FSDP2 and distributed checkpoints behind a thin seam.

Without a process group everything here is the identity.
"""
