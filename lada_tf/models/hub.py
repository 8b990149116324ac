"""Download and upload the files of a model on the Hugging Face Hub.

`huggingface_hub` defines tokens, the cache, offline mode and mirrors: see `hf auth
login`, HF_HOME, HF_HUB_OFFLINE and HF_ENDPOINT.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lada_tf.errors import UserError

HUB_PREFIX = "hf://"
_ID = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>.+))?", re.ASCII)


def as_source(text: str, revision: str | None = None) -> str:
    """Return `hf://user/repo@revision` for `user/repo`, and other sources unchanged.

    Args:
        text: `user/repo` that is not a local path, `hf://user/repo`, or another source.
        revision: a branch, tag or commit.

    Raises:
        UserError: if there is a revision and the source is not on the Hub, or if there
            are two revisions.
    """
    if _ID.fullmatch(text) and not os.path.exists(text):
        text = HUB_PREFIX + text
    if revision is None:
        return text
    if not text.startswith(HUB_PREFIX):
        raise UserError(
            f"revision={revision}: {text} is not on the Hub. Leave out revision"
        )
    if "@" in text:
        raise UserError(
            f"revision={revision}: {text} has a revision too. Leave out one of them"
        )
    return f"{text}@{revision}"


def download(source: str, patterns: Sequence[str], token: str | None = None) -> Path:
    """Download files of a repository, unless they are in the cache.

    Args:
        source: `hf://user/repo`, or `hf://user/repo@revision` with a branch, tag or
            commit.
        patterns: names of the files, with wildcards. Other files are not downloaded.
        token: token with read access. The default is that of `hf auth login`.

    Returns:
        A directory with the files that exist.

    Raises:
        UserError: if the repository or the package is missing, or the Hub cannot be
            reached and the files are not in the cache.
    """
    match = _ID.fullmatch(source.removeprefix(HUB_PREFIX))
    if match is None:
        raise UserError(f"{source}: expected hf://user/repo or hf://user/repo@revision")
    with _api(source, token) as api:
        directory = api.snapshot_download(
            match["repo"],
            revision=match["revision"],
            allow_patterns=list(patterns),
            tqdm_class=_DownloadBar,
        )
    return Path(directory)


class _DownloadBar(tqdm):
    """Progress of the bytes of a download, on terminals only.

    huggingface_hub's own bars also appear when all files come from the cache.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        from huggingface_hub.utils import are_progress_bars_disabled

        kwargs.pop("name", None)  # some versions pass it, but tqdm does not accept it
        kwargs |= {"disable": are_progress_bars_disabled() or None, "leave": False}
        super().__init__(*args, **kwargs)

    def display(self, *args: Any, **kwargs: Any) -> bool:
        is_download = self.unit == "B" and self.n > 0
        return is_download and super().display(*args, **kwargs)


def upload(
    directory: str | os.PathLike,
    repo_id: str,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    token: str | None = None,
    keep: Sequence[str] = (),
) -> str:
    """Upload a directory in one commit. Create a missing repository or branch.

    Args:
        directory: the directory.
        repo_id: `user/repo`.
        private: whether a new repository is private. By default, the user's setting
            on the Hub decides.
        revision: branch. The default is the main branch.
        commit_message: message of the commit.
        token: token with write access. The default is that of `hf auth login`.
        keep: names of files that are not replaced if the repository has them.

    Returns:
        The URL of the repository.

    Raises:
        UserError: if the Hub cannot be reached, or refuses the upload.
    """
    with _api(f"{HUB_PREFIX}{repo_id}", token) as api:
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        if revision:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        kept = [n for n in keep if api.file_exists(repo_id, n, revision=revision)]
        api.upload_folder(
            repo_id=repo_id,
            folder_path=directory,
            revision=revision,
            commit_message=commit_message,
            ignore_patterns=kept,
        )
    return str(url)


@contextlib.contextmanager
def _api(repo: str, token: str | None = None) -> Iterator[Any]:
    """Yield a client of the Hub. Convert its errors in the body to a UserError."""
    try:
        from huggingface_hub import HfApi, constants, errors
    except ImportError as error:
        raise UserError(f"{repo}: run `pip install 'lada_tf[hub]'` first") from error
    api = HfApi(token=token, library_name="lada_tf")
    # The HTTP library differs between versions.
    http_error: Any = errors.HfHubHTTPError.__bases__[0]
    try:
        yield api
    except errors.GatedRepoError as error:
        reason = f"accept its terms at {api.endpoint}, then run `hf auth login`"
        raise UserError(f"{repo}: {reason}") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{repo}: no such repository at {api.endpoint}, or it is private. Check "
            "the name, or run `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{repo}: has no such revision. Check its name") from error
    except errors.LocalEntryNotFoundError as error:
        raise UserError(
            f"{repo}: cannot be reached at {api.endpoint}, and is not in the cache "
            f"{constants.HF_HUB_CACHE}. Check the network and "
            "HF_HUB_OFFLINE, or pass a directory with the files"
        ) from error
    except (http_error, errors.OfflineModeIsEnabled, OSError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        hint = ". Run `hf auth login` with write access" if status in (401, 403) else ""
        first = str(error).strip().splitlines()[0] if str(error).strip() else error
        raise UserError(f"{repo}: {first}{hint}") from error
    except ValueError as error:  # an invalid name, or metadata of the card
        raise UserError(f"{repo}: {' '.join(str(error).split())}") from error
