"""Tests of the README and the documentation: commands, links, numbers."""
