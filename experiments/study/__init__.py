"""The study of docs/ablations.md: one attention or the other at equal cost."""
