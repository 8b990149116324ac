"""A worker without TensorFlow. It adds numbers to its start value."""

from benchmarks.worker import serve, timed


def start(number):
    print("libraries may print")
    kept = bytearray(0)

    def add(more):
        return number + more

    def grow(megabytes):
        return timed(lambda: kept.extend(b"x" * (megabytes * 2**20)))

    return {"number": number}, {"add": add, "grow": grow}


if __name__ == "__main__":
    serve(start)
