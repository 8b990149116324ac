"""Every command block of the pages runs, in reduced form, or says why it does not.

Shell blocks run word for word, except for what `INSTEAD` replaces and the flags that
`SMALLER` appends: small networks and few images. Blocks that cannot run here have a
comment above them, `<!-- not run here: the reason -->`. Their commands, modules and
flags must still exist.
"""

import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from lada_tf.__main__ import COMMANDS
from lada_tf.training.configuration import FIELDS, OPTION_FIELDS
from lada_tf.training.official_checkpoint import import_official_checkpoint
from tests.docs.pages import PAGES, ROOT, blocks, prose
from tests.runner import succeed, succeed_with_source
from tests.small import SMALL, as_flags

SHELL = ("sh", "bash")
MODULE = re.compile(r"python -m ((?:lada_tf|experiments|benchmarks)\.[\w.]+)")
BLOCKS = [block for block in blocks() if block.language in (*SHELL, "python")]
TINY = " ".join(as_flags(SMALL)) + (
    " --total_images=16 --log_images=8 --sample_images=16 --checkpoint_images=16"
    " --eval_images=0"
)
SMALLER = {  # part of a train command: the flags to append
    "--preset=celeba64": f"{TINY} --d_widths=4,4,8",
    "cifar10.cfg": f"{TINY} --data=portraits",
    "portraits.cfg": TINY,
    "--init_from=portraits": "--total_images=16 --log_images=8 --sample_images=16"
    " --checkpoint_images=16 --batch_size=4",
    "--init_from=runs/c10": "--batch_size=4 --total_images=8",
    "official_cifar10/flags.cfg": "--data=portraits --total_images=20",
}
INSTEAD = {  # part of a block that cannot run or takes too long: its replacement
    "--protocol=cifar10_50k": "--real=portraits --num_generated=64 "
    "--features=small_classifier",
    "--num_generated=1000": "--num_generated=64",
    "--num_images=50000": "--num_images=64",
    "--output=docs/images/curves.png": "--output=curves.png",
}
OFFICIAL_FLAGS = {  # flags of the authors' train.py
    "file_pattern",
    "eval_dir",
    "model_dir",
    "metrics_inter",
    "fid_inter",
    "total_iter",
    "max_ckpt_to_keep",
}
SKIPPED = (  # single lines of blocks that run
    "lada-tf demo ",  # does not end; make test-browser runs it
    "--format=web",  # downloads its runtime with npm; make test-browser runs it
)
BEFORE = {  # part of a Python block: the code that it assumes
    "frechet_distance(real_features": "import numpy\n"
    "real_features, generated_features = numpy.random.randn(2, 1000, 8)\n"
    "probabilities = numpy.full((100, 4), 0.25)\n",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A directory with everything that the pages mention."""
    directory = tmp_path_factory.mktemp("workplace")
    (directory / "experiments").symlink_to(ROOT / "experiments")
    random = np.random.default_rng(0)
    for name in ("photos", "ffhq"):
        (directory / name).mkdir()
        for i in range(24):
            pixels = random.integers(0, 256, (140, 160, 3), np.uint8)
            Image.fromarray(pixels).save(directory / name / f"{i}.png")
    official = ROOT / "tests/data/official/pixel32"
    shutil.copytree(official / "after", directory / "cifar10/best-training-checkpoints")
    shutil.copy(official / "config.json", directory / "cifar10")
    import_official_checkpoint(
        official / "after", official / "config.json", directory / "runs/c10"
    )
    return directory


def run_command(command, directory):
    """Run one line of a shell block."""
    if any(words in command for words in SKIPPED):
        return
    for words, replacement in INSTEAD.items():
        command = command.replace(words, replacement)
    if command.startswith("lada-tf train"):
        (more,) = [flags for words, flags in SMALLER.items() if words in command]
        command = f"{command} {more}"
    match shlex.split(command):
        case ["lada-tf", "sample" | "export" as name, *arguments]:
            # Blocks of several pages write the same files.
            succeed(f"lada_tf.{name}", *arguments, "--overwrite", directory=directory)
        case ["lada-tf", name, *arguments]:
            succeed(f"lada_tf.{name}", *arguments, directory=directory)
        case ["python", "-m", module, *arguments]:
            succeed(module, *arguments, directory=directory)
        case ["pip", "install", package]:
            check_extra(package)
        case ["make", target]:
            check_target(target)
        case _:
            raise AssertionError(f"unknown command: {command}")


def check_extra(package):
    extras = re.search(r"\[(.*)\]", package)
    if extras:
        assert f"\n{extras[1]} =\n" in (ROOT / "setup.cfg").read_text(), package


def check_target(target):
    assert f"\n{target}:" in (ROOT / "Makefile").read_text(), target


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if not block.reason],
    ids=lambda block: f"{block.page}:{block.line}",
)
def test_block(block, workplace):
    if block.language == "python":
        source = block.text
        for words, replacement in INSTEAD.items():
            source = source.replace(words, replacement)
        for words, before in BEFORE.items():
            source = before + source if words in source else source
        succeed_with_source(source, workplace)
    for command in block.commands if block.language in SHELL else ():
        run_command(command, workplace)


def test_commands_are_in_blocks_that_say_so():
    """Blocks without a language are not tested, so they must not have commands."""
    for block in blocks():
        if block.language not in (*SHELL, "python"):
            assert not re.search(r"^(lada-tf|python|pip|make) ", block.text, re.M), (
                f"{block.page}:{block.line}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_pages_name_exists(page):
    """Check commands, modules, make targets and flags, also in prose."""
    text = page.read_text().replace("\\\n", " ")
    for name in re.findall(r"\blada-tf ([a-z]\w+)", text):
        assert name in COMMANDS, f"lada-tf {name}"
    for module in MODULE.findall(text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir(), module
    for target in re.findall(r"`make ([\w-]+)`", text):
        check_target(target)
    known = {"help", "version"}.union(*map(flags_of, COMMANDS), OFFICIAL_FLAGS)
    ours = prose(page)
    if page.name == "coming_from.md":  # the first columns are other projects'
        ours = re.sub(r"^\|[^|]+\|", "|", ours, flags=re.MULTILINE)
    named = set(re.findall(r"`--(\w+)", ours)) - known
    assert not {name for name in named if name.removeprefix("no") not in known}


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language in SHELL and block.reason],
    ids=lambda block: f"{block.page}:{block.line}",
)
def test_flags_in_blocks_that_are_not_run_exist(block):
    for command in block.commands:
        match = re.search(r"lada-tf (\w+)", command)
        given = set(re.findall(r" --(\w+)", command))
        assert not match or given <= flags_of(match[1])


def flags_of(command):
    """Return the flags of `lada-tf command`."""
    source = (ROOT / f"lada_tf/{command}.py").read_text()
    names = {"flagfile", *re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source)}
    names |= set(re.findall(r"app\.DEFINE_(\w+)\(\)", source))
    if "DEFINE_source(" in source:
        names |= {"model", "run_dir", "best", "safe_mode"}
    return (
        names | {"preset", *FIELDS, *OPTION_FIELDS}
        if "define_preset_flags()" in source
        else names
    )


def test_replacements_are_needed():
    text = "\n".join(block.text for block in BLOCKS)
    for words in (*INSTEAD, *SMALLER, *BEFORE):
        assert words in text, words
