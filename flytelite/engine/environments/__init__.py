"""The Python environments that tasks run in: which one an image stands for, and making those that have to be made."""
