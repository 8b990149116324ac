"""Whether the words of the README and the documentation are true."""
