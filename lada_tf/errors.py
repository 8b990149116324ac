"""The one exception that stands for a user's mistake."""


class UserError(ValueError):
    """Something that the user gave is wrong: a flag, a file, a dataset.

    The message is one line that names the flag or file and what would mend it. Apps
    print it and exit with code 2 (`lada_tf.app`); Python callers may catch
    `ValueError`.
    """
