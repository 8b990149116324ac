"""The study of docs/ablations.md: attentions compared at equal cost."""
