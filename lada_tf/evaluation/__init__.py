"""Placeholder until the evaluation branch lands."""
