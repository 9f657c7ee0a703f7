"""Turns files into sections of text, in a process that may be killed.

Nothing below `sandbox` imports Django: the child process starts with this package alone.
"""
