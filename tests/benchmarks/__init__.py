import benchmarks  # noqa: F401  here, so that `python -m tests.benchmarks.echo` is fast
