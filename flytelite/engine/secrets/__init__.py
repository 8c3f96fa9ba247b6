"""Secrets of tasks: where their values are kept on this machine, and how an attempt gets those that it declares."""
