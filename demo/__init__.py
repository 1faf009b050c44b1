"""The demonstration recording and the script that makes it."""
