"""Judges: does a written text give the answer? One file each; ``base.judge_of`` makes one from options."""
