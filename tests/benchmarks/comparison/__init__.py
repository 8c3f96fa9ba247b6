"""flytelite beside what is like it: the same small workflows, on the same machine, in one run."""
